"""Plots of what the trials measured; they need matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import atomic_path, read_image

from .images import RealImages
from .plan import Trial
from .tables import Outcome, mean_curves

_DPI = 120
_SHOWN = 4  # test images beside their maps


def check_plots() -> None:
    """See to it that plots can be drawn, before the work begins.

    Raises
    ------
    InputError
        There is no matplotlib.
    """
    _figures()


def write_plots(outcome: Outcome) -> list[Path]:
    """Draw scores with their intervals, and curves over thresholds, into the experiment's folder.

    Returns
    -------
    ``DATA-scores.png``, and ``DATA-roc.png`` and ``DATA-precision.png`` for axons, for boutons
    ``DATA-precision.png``

    Raises
    ------
    InputError
        There is no matplotlib.
    """
    figures = _figures()
    paths = []
    for data in outcome.experiment.data:
        if not any(trial.data == data for trial in outcome.results):
            continue
        for name, figure in (("scores", _scores(figures, outcome, data)),
                             *_curves(figures, outcome, data)):  # fmt: skip
            paths.append(_save(figure, outcome.folder / f"{data}-{name}.png"))
    return paths


def write_maps(outcome: Outcome, images: dict[str, RealImages]) -> list[Path]:
    """Draw what the arms found beside the truth, of the first seed: ``DATA-maps.png``."""
    figures = _figures()
    paths = []
    for data in outcome.experiment.data:
        figure = _maps(figures, outcome, data, images[data])
        if figure is not None:
            paths.append(_save(figure, outcome.folder / f"{data}-maps.png"))
    return paths


def _figures() -> Any:
    """The class of figures, which draw themselves without any window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("Plots need matplotlib; install napari-axongen[plots].") from None

    def make(width: float, height: float) -> Any:
        figure = Figure((width, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        return figure

    return make


def _save(figure: Any, path: Path) -> Path:
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")
    return path


def _scores(figures: Any, outcome: Outcome, data: str) -> Any:
    """A dot with its interval for each row of the table."""
    rows = [row for row in outcome.rows() if row.data == data]
    main = outcome.measure.main
    figure = figures(7, 1 + 0.28 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        mean, low, high = row.scores[main]
        axes.plot([low, high], [place, place], color="0.6", zorder=1)
        filled = row.chosen_on == outcome.main_choice(row.arm)
        face = "tab:blue" if filled else "white"
        axes.plot(mean, place, "o", color="tab:blue", markerfacecolor=face, zorder=2)
    names = [
        row.arm
        if row.chosen_on == outcome.main_choice(row.arm)
        else f"{row.arm} (threshold from {row.chosen_on} images)"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names[::-1])
    axes.set_xlabel(f"mean {outcome.measure.scores[main]} of the test images, 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _curves(figures: Any, outcome: Outcome, data: str) -> Iterator[tuple[str, Any]]:
    """ROC and precision; of boutons, which have no true negatives, the latter alone."""
    recall = "tpr" if "tpr" in outcome.measure.scores else "recall"
    plots = {"precision": (recall, "precision", "true positive rate (recall)", "precision")}
    if "fpr" in outcome.measure.scores:
        plots = {"roc": ("fpr", "tpr", "false positive rate", "true positive rate"), **plots}
    for name, (x, y, *labels) in plots.items():
        figure = figures(7, 4.5)
        axes = figure.subplots()
        for index, arm in enumerate(outcome.names):
            curves = mean_curves(outcome.of(data, arm).values())
            if curves:
                style = ("-", "--", ":")[index // 10 % 3]
                axes.plot(curves[x], curves[y], style, color=f"C{index % 10}", label=arm)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right upper", fontsize="small")
        yield name, figure


def _maps(figures: Any, outcome: Outcome, data: str, images: RealImages) -> Any:
    """Test images in rows: image, truth, and the map of each arm."""
    experiment = outcome.experiment
    seed = experiment.seeds[0]
    cases = [
        (fold, case)
        for fold, one in experiment.data[data].folds.items()
        for case in images.test(one)[:1]
    ][:_SHOWN]
    folders = {
        (arm, fold): outcome.folder / Trial(arm, data, fold, seed).folder
        for arm in experiment.maps or experiment.arms
        for fold, _ in cases
    }
    arms = [
        arm
        for arm in experiment.maps or experiment.arms
        if any((folders[arm, fold] / f"{case.name}.png").exists() for fold, case in cases)
    ]
    if not arms:
        return None
    figure = figures(1.9 * (2 + len(arms)), 2.1 * len(cases))
    grid = figure.subplots(len(cases), 2 + len(arms), squeeze=False)
    for row, (fold, case) in zip(grid, cases, strict=True):
        grey = np.asarray(case.labelled.image.data, np.float32)
        low, high = np.percentile(grey, (1, 99.8))
        row[0].imshow(grey, cmap="gray", vmin=low, vmax=high)
        row[1].imshow(_truth(case.truth, case.valid), cmap="gray", vmin=0, vmax=2)
        for top, left, height, width in case.boxes:
            x, y = [left, left + width, left + width, left, left], [top, top, top + height]
            row[1].plot(x, [*y, top + height, top], color="tab:orange", linewidth=0.5)
        for axes, arm in zip(row[2:], arms, strict=True):
            path = folders[arm, fold] / f"{case.name}.png"
            if path.exists():
                axes.imshow(np.asarray(read_image(path).data), cmap="gray", vmin=0, vmax=255)
    for axes, title in zip(grid[0], ["image", "truth", *arms], strict=True):
        axes.set_title(title, fontsize="x-small")
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _truth(truth: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Truth in white, what is not known in grey."""
    return np.where(valid, truth * np.uint8(2), np.uint8(1))
