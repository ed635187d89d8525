"""An experiment from its file to its tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_axongen.core.events import Steps

from .bench import experiment_steps
from .images import load_images
from .plan import Experiment, trials
from .plots import check_plots, write_maps, write_plots
from .tables import Outcome


@dataclass(frozen=True)
class Evaluation:
    """What is known of an experiment: its results, and the files that show them."""

    outcome: Outcome
    written: list[Path]


def evaluate_steps(
    experiment: Experiment,
    out: Path,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folds: Sequence[str] = (),
    device: str = "auto",
    *,
    table: bool = False,
) -> Steps[Evaluation]:
    """Do the trials of an experiment that are not done, and write tables and plots of all.

    Parameters
    ----------
    experiment, out
        What to do, and its folder, in which everything is kept.
    only, seeds, folds
        Arms and baselines, seeds, and folds to do; empty: all.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    table
        Do nothing but write the tables and plots of what is there.

    Raises
    ------
    InputError
        There is no such arm, seed or fold, a trial cannot be done, or matplotlib is missing.
    """
    chosen = trials(experiment, only, seeds, folds)
    check_plots()
    if not table:
        yield from experiment_steps(experiment, out, chosen, device)
    outcome = Outcome(experiment, out)
    if not outcome.results:
        return Evaluation(outcome, [])
    written = [*outcome.write(), *write_plots(outcome)]
    if not table:
        written += write_maps(outcome, load_images(experiment, out))
    return Evaluation(outcome, written)
