"""Whether a loss diverges."""

from __future__ import annotations

from dataclasses import dataclass

_SPAN = 100  # steps that the running mean looks back on
_RISE = 5.0  # times as high as ever before: no noise of a mean of so many steps


@dataclass
class Watch:
    """Follows a loss that is never negative and tells whether it diverges.

    The rule: the running mean over about the last 100 steps is more than five times as high as the
    lowest that it has been, and above that of the first 100 steps. The second half lets a loss that
    is almost nothing waver, and a run that begins with a trained network find its feet. Nothing is
    said in the first 100 steps. The losses of networks that play against each other are no measure
    of how well they do and are not followed.

    Attributes
    ----------
    steps
        How many were followed.
    mean, first, lowest
        Running mean now, after the first 100 steps, and its lowest since.
    """

    steps: int = 0
    mean: float = 0.0
    first: float = 0.0
    lowest: float = 0.0

    def follow(self, loss: float) -> None:
        """Take note of the loss of a step."""
        self.steps += 1
        self.mean += (loss - self.mean) / min(self.steps, _SPAN)
        if self.steps == _SPAN:
            self.first = self.lowest = self.mean
        elif self.steps > _SPAN:
            self.lowest = min(self.lowest, self.mean)

    def too_high(self, loss: float) -> bool:
        """Whether a loss, or a mean of losses, is such that it must not stay so."""
        return self.steps >= _SPAN and loss > max(self.first, _RISE * self.lowest)

    @property
    def diverged(self) -> bool:
        """Whether the loss has stayed so."""
        return self.too_high(self.mean)
