"""The preview: an image layer that follows the form while its sliders move."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.layers import RECIPE
from napari_axongen.bridge.surrogates import Place, grey_range, preview, preview_parameters
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.parameters import SurrogateParameters

from .parts import Hint
from .rest import Rest

if TYPE_CHECKING:
    import napari

    from napari_axongen.core.surrogate.truth import Surrogates

NAME = "Surrogate preview"
_MASKS = {"axons": "axon_labels", "boutons": "bouton_masks"}

REST = 30
"""Milliseconds between a change and the preview of it; all changes in between are one."""


class Preview(QWidget):
    """Shows the first image of the seed, or its first series.

    Parameters
    ----------
    viewer
        Where.
    job
        Makes it; one without a title, as it runs many times a second.
    wanted
        Parameters, seed, and whether a series is wanted; raises `InputError`.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        job: Job,
        wanted: Callable[[], tuple[SurrogateParameters, int, bool]],
    ) -> None:
        super().__init__()
        self._viewer, self._job, self._wanted = viewer, job, wanted
        self._layers: dict[str, Any] = {}
        self._made: Surrogates | None = None
        self._fresh = True  # contrast limits are to be found
        self._covered = False  # other layers have come to lie on the preview
        self._notices: list[str] = []
        self._about = ""
        self._timer = Rest(self, REST, self._tick)
        self.on = QCheckBox("Live preview")
        self.on.setToolTip("Show the first image, up to 512 x 512, while the sliders move.")
        self.what = QComboBox()
        self.what.addItem("Image", "images")
        self.what.addItem("Without noise", "clean_images")
        self.masks = QCheckBox("Masks")
        self.masks.setToolTip("Also show axons and boutons as labels.")
        self.hint = Hint()
        row = QHBoxLayout()
        row.addWidget(self.on, 1)
        row.addWidget(self.what)
        row.addWidget(self.masks)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.hint)
        self._refused = False  # by hand: a slider does not switch it on again
        self.on.clicked.connect(self._on_clicked)
        self.on.toggled.connect(lambda on: self._timer.start() if on else self.stop())
        self.what.currentIndexChanged.connect(lambda _: self._show())
        self.masks.toggled.connect(lambda _: self._show())
        job.finished.connect(self._on_finished)
        job.notice.connect(self._on_notice)
        job.failed.connect(self._say)
        viewer.layers.events.removed.connect(self._on_removed)

    def poke(self, fresh: bool = False) -> None:
        """Something has changed.

        Parameters
        ----------
        fresh
            So much that contrast limits are to be found anew.
        """
        self._fresh = self._fresh or fresh
        if not self._refused:
            self.on.setChecked(True)
        if self.on.isChecked() and not self._timer.isActive():
            self._timer.start()

    def cover(self) -> None:
        """Make way for the layers that are made now; the next preview lies on them."""
        self.stop()
        self._covered = True
        for layer in self._layers.values():
            layer.visible = False

    def stop(self) -> None:
        """Make no more."""
        self._timer.stop()
        self._job.cancel()

    def close_down(self) -> None:
        """Make no more, and listen no more."""
        self.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    # ------------------------------------------------------------ making it

    def _on_clicked(self, on: bool) -> None:
        self._refused = not on

    def _tick(self) -> None:
        if self._job.running:
            # not stopped: if each change stopped the preview before it, nothing would be seen
            # while a slider moves
            self._timer.start()
            return
        try:
            parameters, seed, series = self._wanted()
        except InputError as error:
            self._say(str(error))
            return
        parameters, self._about = preview_parameters(parameters, series)
        self._notices.clear()
        if self._made is None:
            self._say("The first image takes a moment ...")  # torch is loaded
        self._job.start(lambda: preview(parameters, seed, series))

    def _on_notice(self, text: str, level: str) -> None:
        self._notices.append(text)

    def _on_finished(self, made: Surrogates) -> None:
        self._made = made
        self._show()
        self._say("\n".join(filter(None, [self._about, *self._notices])))

    def _say(self, text: str) -> None:
        if text != self.hint.text():  # each line that comes or goes draws the window anew
            self.hint.say(text)

    # ------------------------------------------------------------ showing it

    def _show(self) -> None:
        made = self._made
        if made is None or not self.on.isChecked():
            return
        place, wanted = Place(made), [""]
        metadata = {RECIPE: {**made.recipe(), "output": "preview"}}
        if self.masks.isChecked():
            wanted += _MASKS
        for key in [key for key in self._layers if key not in wanted]:
            self._remove(key)
        for key in wanted:
            data = place.squeeze(getattr(made, _MASKS.get(key, self.what.currentData())))
            if key == "boutons":
                data = data // 255
            self._put(key, data, metadata, place)
        image = self._layers[""]
        if self._fresh:
            top = made.parameters.max_intensity
            image.contrast_limits_range = (0, top)
            image.contrast_limits = grey_range(image.data, top)
            self._fresh = False
        if self._covered:
            self._rise()

    def _put(self, key: str, data: Any, metadata: dict[str, Any], place: Place) -> None:
        layer = self._layers.get(key)
        if layer is not None and layer.ndim != data.ndim:
            self._remove(key)
            layer = None
        if layer is None:
            looks = {"name": f"{NAME} {key}".strip(), "metadata": metadata, **place.keywords}
            if key:
                layer = self._viewer.add_labels(data, opacity=0.4, **looks)
            else:
                layer = self._viewer.add_image(
                    data, colormap="gray", contrast_limits=(0, 1), **looks
                )
                self._fresh = True
            self._layers[key] = layer
            return
        layer.metadata = metadata
        other_shape = layer.data.shape != data.shape
        layer.data = data
        scale = place.keywords.get("scale", (1.0,) * data.ndim)
        if tuple(layer.scale) != scale:
            layer.units = place.keywords.get("units", ("pixel",) * data.ndim)
            layer.scale = scale
            other_shape = True
        if other_shape and len(self._viewer.layers) == len(self._layers):
            self._viewer.reset_view()

    def _rise(self) -> None:
        """Lie on top of everything again."""
        self._covered = False
        layers = self._viewer.layers
        for layer in self._layers.values():
            layer.visible = True
            layers.move(layers.index(layer), len(layers))

    def _on_removed(self, event: Any) -> None:
        """Who throws the preview away wants no more of it."""
        gone = [key for key, layer in self._layers.items() if layer == event.value]
        for key in gone:
            del self._layers[key]
            if key:
                self.masks.setChecked(False)
            else:
                self._refused = True
                self.on.setChecked(False)

    def _remove(self, key: str) -> None:
        self._viewer.layers.remove(self._layers.pop(key))
