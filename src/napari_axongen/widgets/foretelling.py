"""The line that says how long a run will take, before it is begun."""

from __future__ import annotations

from napari_axongen.bridge.forecast import Forecast, Question, forecast_steps
from napari_axongen.bridge.jobs import Job

from .parts import DeviceChip, Hint, foretold
from .rest import Rest

_REST = 300  # ms that changes are gathered


class ForecastLine(Hint):
    """How long a translation will take, found out off the GUI thread.

    Parameters
    ----------
    job
        Its own, without a title.
    device
        Shows where it will be computed.
    """

    def __init__(self, job: Job, device: DeviceChip) -> None:
        super().__init__()
        self._job = job
        self._question: Question | None = None
        self._rest = Rest(self, _REST, self._start)
        self.setToolTip("By the time that one call of the network takes on a small tile.")
        job.notice.connect(lambda text, _: device.hear(text))
        job.finished.connect(self._show)
        job.failed.connect(lambda _: self.say(""))

    def ask(self, question: Question | None) -> None:
        """Have it found out; None: there is nothing to tell."""
        self._question = question
        if question is None:
            self.close_down()
            self.say("")
        elif not self._rest.isActive():
            self._rest.start()
            if not self.text():
                self.say("How long it takes is being found out ...")

    def close_down(self) -> None:
        """Find out no more."""
        self._rest.stop()
        self._job.cancel()

    def _start(self) -> None:
        question = self._question
        if question is not None:
            self._job.start(lambda: forecast_steps(question))

    def _show(self, forecast: Forecast) -> None:
        if self._question is not None:
            self.say(sentence(forecast))


def sentence(forecast: Forecast) -> str:
    """What a forecast comes to."""
    text = f"Takes about {foretold(forecast.seconds)} on the {'CPU' if forecast.on_cpu else 'GPU'}"
    if forecast.assumed is not None:
        text += f", if axons are some {forecast.assumed:.0f} px wide"
    return f"{text}."
