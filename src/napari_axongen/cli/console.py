"""What the command line says: results on standard output, all else on standard error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from typer.core import TyperGroup

from napari_axongen.core import events
from napari_axongen.core.errors import InputError

T = TypeVar("T")

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: some file failed, the command makes no sense, stopped by Ctrl+C."""

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str, style: str = "") -> None:
    """Say something to the person, not to a program that reads the output."""
    console.print(Text(message, style))


def complain(message: str) -> None:
    """Say what went wrong."""
    say(f"Error: {message}", "red")


class Group(TyperGroup):
    """Commands that end with a sentence and an exit code, whatever the user did.

    A command's name may have two words: ``generate em-fibres`` beside ``generate``.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; the longer name comes first."""
        if " ".join(args[:2]) in self.commands:
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            complain(str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt:
            complain("stopped; what was finished is kept.")
            raise typer.Exit(INTERRUPTED) from None


def tell(title: str, notice: events.Notice) -> None:
    """Say what a job noticed."""
    say(f"{title}: {notice.message}", "yellow" if notice.level == "warning" else "")


def follow(steps: events.Steps[T], title: str) -> T:
    """Run a job with a progress bar, saying its notices; return its result."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=1, note="")

        def show(event: events.Event) -> None:
            if isinstance(event, events.Progress):
                bar.update(task, completed=event.done, total=event.total)
                if event.message:
                    bar.update(task, description=f"{title} ({event.message})")
            elif isinstance(event, events.Metrics):
                bar.update(task, note=_numbers(event.values))
            elif isinstance(event, events.Validation):
                best = ", the best so far" if event.best else ""
                say(f"{title}: step {event.step}: {_numbers(event.values)}{best}")
            elif isinstance(event, events.Notice):
                tell(title, event)

        try:
            return events.run(steps, show)
        finally:
            steps.close()


def _numbers(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items())


def each(paths: Sequence[Path], work: Callable[[Path], None]) -> int:
    """Do the work for each file; name those that fail and go on. Returns how many failed."""
    return summed_up([attempt(path, work) for path in paths])


def attempt(path: Path, work: Callable[[Path], None]) -> bool:
    """Do the work for a file, and name it if that fails. Returns whether it is done."""
    try:
        work(path)
    except InputError as error:
        message = str(error)
        complain(message if path.name in message else f"{path}: {message}")
    except MemoryError:
        complain(f"{path} does not fit into memory; cut it into smaller images.")
    except Exception as error:  # a fault of ours: the other files are done all the same
        complain(f"{path}: unexpected {type(error).__name__}: {error}; please report this.")
    else:
        return True
    return False


def summed_up(done: Sequence[bool]) -> int:
    """Say how many files failed, and return it."""
    failed = done.count(False)
    if failed:
        complain(f"{failed} of {len(done)} files failed.")
    return failed
