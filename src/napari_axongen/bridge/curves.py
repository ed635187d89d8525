"""What the curves of a training run are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MOST = 1000
"""Points of a curve: more than a plot has pixels, and few enough to be drawn in no time."""

FEW = 30
"""Points up to which each is drawn as a dot."""

_CHOSEN = "val_threshold"  # is no score
_NAMES = {"f1": "F1", "dice": "Dice", "val": ""}


class Trace:
    """Values by step. Of very many, neighbours are joined to their mean.

    The last value is kept apart: what is shown ends where training is.
    """

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._values: list[float] = []
        self._waiting: list[tuple[float, float]] = []
        self._joined = 1  # values to a point
        self.last = float("nan")

    def add(self, step: int, value: float) -> None:
        """Take in the value of a step."""
        self.last = value
        self._waiting.append((float(step), value))
        if len(self._waiting) < self._joined:
            return
        self._steps.append(_mean(step for step, _ in self._waiting))
        self._values.append(_mean(value for _, value in self._waiting))
        self._waiting.clear()
        if len(self._steps) >= MOST:
            self._joined *= 2
            self._steps = [_mean(pair) for pair in _pairs(self._steps)]
            self._values = [_mean(pair) for pair in _pairs(self._values)]

    def points(self) -> tuple[list[float], list[float]]:
        """Steps and values of the curve."""
        if not self._waiting:
            return self._steps, self._values
        steps, values = zip(*self._waiting, strict=True)
        return [*self._steps, _mean(steps)], [*self._values, _mean(values)]


class History:
    """All curves of a run.

    Attributes
    ----------
    losses, scores
        By name; scores are what was measured on held-out data.
    best, measured
        Step of the best and of the last measurement; None, and 0, where there was none.
    """

    def __init__(self, entries: Iterable[Mapping[str, float]] = ()) -> None:
        self.losses: dict[str, Trace] = {}
        self.scores: dict[str, Trace] = {}
        self.best: int | None = None
        self.measured = 0
        for entry in entries:
            step = int(entry["step"])
            scores = {n: v for n, v in entry.items() if n.startswith("val_")}
            losses = {n: v for n, v in entry.items() if n not in (*scores, "step", "best")}
            self.add_losses(step, losses)
            if scores:
                self.add_scores(step, scores, "best" in entry)

    def add_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Take in the losses of a step."""
        _add(self.losses, step, values)

    def add_scores(self, step: int, values: Mapping[str, float], best: bool) -> None:
        """Take in what was measured at a step, and whether it is the best so far."""
        _add(self.scores, step, {n: v for n, v in values.items() if n != _CHOSEN})
        self.measured = step
        if best:
            self.best = step


def readable(name: str) -> str:
    """Name of a loss or a measure for a person: ``val_dice_axon`` is "Dice axon"."""
    words = (_NAMES.get(word, word) for word in name.split("_"))
    return " ".join(filter(None, words)) or name


def _add(traces: dict[str, Trace], step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        traces.setdefault(name, Trace()).add(step, value)


def _pairs(values: list[float]) -> Iterable[tuple[float, ...]]:
    return (tuple(values[start : start + 2]) for start in range(0, len(values), 2))


def _mean(values: Iterable[float]) -> float:
    gathered = list(values)
    return sum(gathered) / len(gathered)
