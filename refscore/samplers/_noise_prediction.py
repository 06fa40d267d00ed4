"""A noise prediction as the score that chains ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate
from refscore.processes import DDPM, ConvertedScore, MarginalScore
from refscore.processes._noising import PARAMETRISATIONS


@dataclass(frozen=True)
class PredictedScore:
    """score(x, t) of a model m(x, t) that predicts 'eps', 'score', 'x0' or 'v'; a class, so that it can be pickled."""

    process: Any
    model: Callable
    predicts: str

    def __post_init__(self):
        if not callable(self.model):
            raise TypeError(f"eps_model is {self.model!r}: pass a callable eps(x, i), or another model and what it predicts")
        _validate.choice(self.predicts, "predicts", PARAMETRISATIONS)
        if isinstance(self.model, (MarginalScore, ConvertedScore)) and self.predicts != "score":
            raise TypeError(f"eps_model is a {type(self.model).__name__}, which gives a score: pass predicts='score'")

    def __call__(self, x, t) -> np.ndarray:
        t = int(t) if isinstance(self.process, DDPM) else t  # an index, such as tables are read with
        value = _validate.finite(np.asarray(self.model(x, t)), f"eps_model(x, {t})")
        if value.shape != x.shape:
            raise ValueError(f"eps_model(x, {t}) has shape {value.shape}, but x has shape {x.shape}: they must agree")
        return self.process.convert(value, x, t, self.predicts, "score")
