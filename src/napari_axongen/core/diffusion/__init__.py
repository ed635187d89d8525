"""Denoising diffusion: how images become noise, and the ways back."""

from .process import Flow, Process, SamplerName, Scheduled, Way, process
from .routes import Leg, Route, route
from .samplers import Ancestral, Ddim, DpmSolver, FlowEuler, Sampler
from .schedules import Course, Prediction, Schedule

__all__ = [
    "Ancestral",
    "Course",
    "Ddim",
    "DpmSolver",
    "Flow",
    "FlowEuler",
    "Leg",
    "Prediction",
    "Process",
    "Route",
    "Sampler",
    "SamplerName",
    "Schedule",
    "Scheduled",
    "Way",
    "process",
    "route",
]
