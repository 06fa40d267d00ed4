"""Exact laws of discretised samplers: what a chain of Gaussian kernels produces, without sampling."""

from refscore.laws.law import law, law_with_error

__all__ = ["law", "law_with_error"]
