"""``axongen train``: a recipe becomes a model; Ctrl+C leaves a checkpoint."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from napari_axongen.core.errors import InputError

from .console import FAILED, INTERRUPTED, complain, follow, say

if TYPE_CHECKING:
    from napari_axongen.core.events import Steps
    from napari_axongen.core.training import AnyRecipe

T = TypeVar("T")


def train(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe, a .yaml file; with --resume, also the folder of a run.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from its checkpoint.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[
        int,
        typer.Option(
            min=1, help="Processes of this machine that train together, each on a GPU of its own."
        ),
    ] = 1,
) -> None:
    """Train a model from a recipe.

    A run that was stopped, by Ctrl+C or otherwise, goes on with --resume: `axongen train --resume
    RUN`. For processes of several machines see the documentation of torchrun, which starts
    `-m napari_axongen.cli train ...` on each.
    """
    if recipe.is_dir():
        if not resume or out is not None:
            raise typer.BadParameter(f"{recipe} is a folder; a run in it goes on with --resume.")
        recipe, out = recipe / "recipe.json", recipe
    if out is None:
        raise typer.BadParameter("Name the folder of the run: --out.")
    if devices > 1:
        _start(devices, [str(recipe), "--out", str(out), "--device", device], resume)
        return
    from napari_axongen.core.events import run
    from napari_axongen.core.training import PartedError, load_recipe, train_steps

    loaded = load_recipe(recipe)
    if not resume and _leads():
        _check(loaded)
    steps = _stoppable(train_steps(loaded, out, resume, device))
    if _leads():
        typer.echo(follow(steps, loaded.name))
        return
    try:
        run(steps)
    except PartedError as error:
        raise typer.Exit(FAILED) from error


def _check(recipe: AnyRecipe) -> None:
    """Say what is wrong with the data before anything is trained on it."""
    from napari_axongen.core.training.checks import check_data_steps

    found = follow(check_data_steps(recipe), "Looking at the data")
    for finding in found:
        if finding.level == "warning":
            say(finding.sentence, "yellow")
    wrong = [finding.sentence for finding in found if finding.level == "error"]
    for sentence in wrong[:-1]:
        complain(sentence)
    if wrong:
        raise InputError(wrong[-1])


def _leads() -> bool:
    """Whether this process speaks: of several that train together the first does."""
    return int(os.environ.get("RANK", 0)) == 0


def _start(devices: int, arguments: list[str], resume: bool) -> None:
    """Start processes of this command that train together, and wait for them."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as run_processes

    command = ["-m", "napari_axongen.cli", "train", *arguments, *["--resume"] * resume]
    options = parse_args(["--standalone", f"--nproc-per-node={devices}", *command])
    logging.disable(logging.ERROR)  # the processes say themselves what goes wrong
    try:
        run_processes(options)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:  # it could not say so itself
            complain(f"Process {number} was ended by {failure.signal_name()}; see --resume.")
        raise typer.Exit(FAILED) from error
    except SignalException as error:
        raise typer.Exit(INTERRUPTED) from error
    finally:
        logging.disable(logging.NOTSET)


def _stoppable(steps: Steps[T]) -> Steps[T]:
    """A job that Ctrl+C and SIGTERM end between two events, so that it closes in good order.

    A second time they end it at once.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        if _leads():
            say("Stopping after this step; a second time stops at once.", "yellow")

    signals = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, note) for number in signals]
    try:
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if caught:
                raise KeyboardInterrupt
            yield event
    finally:
        steps.close()
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
