"""What is known of a training before it starts: what is wrong, and how long it will take."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.plans import Plan
from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.training import Outlook, outlook_steps
from napari_axongen.core.events import Partial

from .parts import Hint, foretold
from .rest import Rest

_REST = 700  # ms that changes are gathered
_MARKS = {
    "error": ("✕", "#e5484d"),
    "warning": ("!", "#e0a020"),
    "fine": ("✓", "#3fb27f"),
    "busy": ("…", "gray"),
}


class OutlookPanel(QWidget):
    """A list of what is right and wrong with a plan, found out off the GUI thread.

    Parameters
    ----------
    job
        Its own, without a title.

    Signals
    -------
    changed()
        It is known, or no longer known, whether the plan may be started.
    """

    changed = Signal()

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._plan: Plan | None = None
        self.outlook: Outlook | None = None
        self.list = QLabel()
        self.list.setTextFormat(Qt.TextFormat.RichText)
        self.list.setWordWrap(True)
        self.list.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.list.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.forecast = Hint()
        self.forecast.setToolTip("By a few steps that were tried on these images.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addWidget(self.forecast)
        self._rest = Rest(self, _REST, self._start)
        job.yielded.connect(self._on_yielded)
        job.finished.connect(self._show)
        job.failed.connect(self._on_failed)

    @property
    def may_start(self) -> bool:
        """Whether the data are checked, and nothing keeps the plan from being started."""
        return self.outlook is not None and self.outlook.may_start

    def ask(self, plan: Plan | None, complaint: str = "") -> None:
        """Find out about a plan; None: there is none, for this reason."""
        self._plan, self.outlook = plan, None
        self.forecast.say("")
        if plan is None:
            self.close_down()
            self._say([("error", complaint)] if complaint else [])
        else:
            self._say([("busy", "The images are being checked.")])
            self._rest.start()
        self.changed.emit()

    def close_down(self) -> None:
        """Find out no more."""
        self._rest.stop()
        self._job.cancel()

    def _start(self) -> None:
        plan = self._plan
        if plan is not None:
            self._job.start(lambda: outlook_steps(plan, preference("device", "auto")))

    def _on_yielded(self, event: Any) -> None:
        if isinstance(event, Partial):
            self._show(event.value)
            self.forecast.say("How long it takes is being found out ...")

    def _on_failed(self, why: str) -> None:
        self._say([("error", why)])

    def _show(self, outlook: Outlook) -> None:
        if self._plan is None or self._rest.isActive():
            return  # of a plan that is another now
        self.outlook = outlook
        lines = [(finding.level, finding.sentence) for finding in outlook.findings]
        lines += [("fine", sentence) for sentence in _together(outlook.taken)]
        if not outlook.findings:
            lines.insert(0, ("fine", "The images are in order."))
        self._say(lines)
        self.forecast.say("" if outlook.estimate is None else sentence(outlook.estimate))
        self.changed.emit()

    def _say(self, lines: list[tuple[str, str]]) -> None:
        rows = []
        for level, text in lines:
            mark, colour = _MARKS[level]
            rows.append(
                f"<tr><td style='color:{colour}; font-weight:bold; padding-right:6px'>{mark}</td>"
                f"<td>{html.escape(text)}</td></tr>"
            )
        self.list.setText(f"<table>{''.join(rows)}</table>" if rows else "")
        self.list.setVisible(bool(rows))


def _together(taken: list[str]) -> list[str]:
    """What labels were taken for; once where it is the same for all."""
    meanings = {sentence.rpartition(": ")[2] for sentence in taken}
    return [f"All labels: {meanings.pop()}"] if len(taken) > 1 == len(meanings) else taken


def sentence(estimate: Any) -> str:
    """What an estimate comes to."""
    text = f"Takes about {foretold(estimate.seconds)}"
    if estimate.memory is not None:
        text += f" and {max(0.1, estimate.memory / 1e9):.1f} GB of memory"
    device = estimate.device.partition(":")[0]
    text += f" on the {device if device == 'CPU' else 'GPU'}"
    if estimate.parts > 1:
        text += f"; a batch is cut into {estimate.parts} parts to fit into it"
    return f"{text} ({estimate.steps_per_second:.2g} steps/s)."
