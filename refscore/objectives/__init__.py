"""What training minimises, as functions of explicit noise: `esm`, `ism`, `dsm`, `dsm_process`."""

from refscore.objectives.denoising import dsm, dsm_process
from refscore.objectives.explicit import esm
from refscore.objectives.implicit import ism

__all__ = ["dsm", "dsm_process", "esm", "ism"]
