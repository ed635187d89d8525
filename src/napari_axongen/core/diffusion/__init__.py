"""Denoising diffusion: how images become noise, and the ways back."""

from .samplers import Ancestral, Ddim, DpmSolver, FlowEuler, Sampler
from .schedules import Course, Prediction, Schedule

__all__ = [
    "Ancestral",
    "Course",
    "Ddim",
    "DpmSolver",
    "FlowEuler",
    "Prediction",
    "Sampler",
    "Schedule",
]
