"""Experiments: several ways of training, on the same images, compared with intervals."""

from __future__ import annotations

from .plan import Experiment, Trial, load_experiment, trials

__all__ = ["Experiment", "Trial", "load_experiment", "trials"]
