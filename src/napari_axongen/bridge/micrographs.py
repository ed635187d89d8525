"""Electron micrographs out of nothing: laid out, rendered by a translator, labelled exactly."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_axongen.core.events import Partial, Steps
from napari_axongen.core.files import AXON, MYELIN
from napari_axongen.core.models.card import Card, package_version
from napari_axongen.core.surrogate.em_fields import EmField
from napari_axongen.core.surrogate.em_parameters import EmFibreParameters, Preset

from .layers import RECIPE, UM
from .outputs import Output
from .recipes import EM_FIBRES

if TYPE_CHECKING:
    from napari.types import LayerData


@dataclass(frozen=True)
class Micrograph(EmField):
    """A picture with its exact answer, and what made it.

    Attributes
    ----------
    recipe
        As in the metadata of its layers.
    """

    recipe: dict[str, Any]

    def outputs(self) -> Iterator[Output]:
        """Its labels, from the bottom of the layer list to its top."""
        yield Output("myelin", (self.classes == MYELIN).view(np.uint8))
        yield Output("axon", (self.classes == AXON).view(np.uint8))
        yield Output("fibres", self.labels)

    def keywords(self, name: str) -> dict[str, Any]:
        """Of the image's layer."""
        return {
            "name": name,
            "colormap": "gray",
            "contrast_limits": (0, 255),
            "scale": (self.pixel_size,) * 2,
            "units": (UM, UM),
            "axis_labels": ("y", "x"),
            "metadata": {RECIPE: {**self.recipe, "output": "image"}},
        }


def micrograph(
    parameters: EmFibreParameters, card: Card, seed: int, device: str = "auto"
) -> Steps[Micrograph]:
    """Lay out fibres and render them; imports torch.

    Parameters
    ----------
    parameters
        What to lay out, and by which method it is rendered.
    card
        Of the translator; another method takes a model that makes the same contrast.
    seed
        Of layout and texture.
    device
        Where to compute.

    Yields
    ------
    what `core.surrogate.em_images.em_images_steps` yields; in the end a `Partial` with the result,
    and one for each `Output`.
    """
    # napari would, on the GUI thread, with its first Labels layer
    importlib.import_module("pandas")
    from napari_axongen.core.surrogate.em_images import em_images_steps
    from napari_axongen.core.translators import task_of, translator_to

    task = task_of(parameters.method)
    name = card.name if task == card.task else translator_to(card.contrast or "TEM", task)
    contrast: Preset = "sem" if card.contrast == "SEM" else "tem"
    (made,) = yield from em_images_steps(parameters, contrast, seed=seed, model=name, device=device)
    recipe = {
        "verb": EM_FIBRES,
        "parameters": parameters.model_dump(mode="json"),
        "seed": seed,
        "target": card.contrast,
        "model": {"name": name},
        "version": package_version(),
    }
    result = Micrograph(made.image, made.classes, made.labels, made.pixel_size, recipe)
    yield Partial((), result)
    for output in result.outputs():
        yield Partial((), output)
    return result


def layers_of(made: Micrograph, name: str) -> list[LayerData]:
    """The layers of a micrograph: the picture, and its labels, which are hidden."""
    layers: list[LayerData] = [(made.image, made.keywords(name), "image")]
    place = {key: made.keywords(name)[key] for key in ("scale", "units", "axis_labels")}
    for output in made.outputs():
        recipe = {**made.recipe, "output": output.name, "source": name}
        look = {"name": f"{name} {output.name}", "visible": False, "metadata": {RECIPE: recipe}}
        layers.append((output.values, {**look, **place}, "labels"))
    return layers
