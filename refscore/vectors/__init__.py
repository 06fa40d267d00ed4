"""Test vectors any language can read: inputs, wanted values and tolerances as JSON, and the judgement of what comes back.

    refscore vectors export DIR            the vectors, and a README
    refscore vectors check RESPONSE.json   the verdicts on answers, as of `refscore check`
    refscore vectors lint                  every vector computed again by other code

The rungs of `refscore.conformance` are the vectors: what an adapter in Python is called with is what the files hold.
"""

from refscore.vectors.export import BadVectors, export, records
from refscore.vectors.recomputed import Disagreement, lint
from refscore.vectors.response import BadResponse, Recorded, Response, judge, read
from refscore.vectors.vector import Vector, answer_of, vectors

__all__ = ["BadResponse", "BadVectors", "Disagreement", "Recorded", "Response", "Vector", "answer_of", "export", "judge", "lint",
           "read", "records", "vectors"]
