"""Electron micrographs out of nothing: fibre layouts, rendered by a translator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.device import Device, choose_device
from napari_axongen.core.events import Notice, Progress, Steps, quiet
from napari_axongen.core.rendering import Source, grey_levels, render_plane
from napari_axongen.core.translators import Translator, load_translator, translator_to

from .em_fields import EmField
from .em_laws import median_diameter
from .em_layout import EmLayout, em_fibres, shortfall
from .em_parameters import EmFibreParameters, Preset


@dataclass(frozen=True)
class EmRenderer:
    """Makes images of layouts; image ``index`` of ``seed`` is the same whatever else is made.

    Attributes
    ----------
    model
        The translator.
    device
        Where to compute.
    """

    model: Translator
    device: Device

    @classmethod
    def of(cls, contrast: Preset, model: str = "auto", device: str = "auto") -> EmRenderer:
        """Load a translator.

        Parameters
        ----------
        contrast
            ``tem`` or ``sem``: what the images shall be.
        model
            Name or file of a translator, or ``auto``: one that makes this contrast.
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises
        ------
        InputError
            No such model or device, or no translator that makes this contrast.
        """
        chosen = choose_device(device)
        name = translator_to(contrast.upper()) if model == "auto" else model
        return cls(load_translator(name, chosen), chosen)

    def said(self) -> str:
        """A sentence on what is used."""
        return f"{self.model.card.name} renders the layouts on {self.device.reason}."

    def scale(self, parameters: EmFibreParameters) -> float:
        """Pixels of the translator per pixel of a layout: by the law of the diameters."""
        known = self.model.card.axon_diameter
        return known / median_diameter(parameters) if known else 1.0

    def render(
        self, layout: EmLayout, parameters: EmFibreParameters, seed: int, index: int
    ) -> Steps[NDArray[np.uint8]]:
        """Grey values (Y, X) of a layout; yields Progress over its tiles."""
        height, width = layout.classes.shape
        image = np.empty((height, width), np.uint8)
        grey_range = self.model.card.grey_range or (0, 255)

        def write(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            image[rows, columns] = grey_levels(values[0], grey_range)

        yield from render_plane(
            self.model.network,
            Source((height, width), lambda rows, columns: layout.classes[rows, columns], None),
            write,
            scale=self.scale(parameters),
            # not planes of one stack, which look alike, but specimens
            seed=int(np.random.SeedSequence((seed, index)).generate_state(1)[0]),
            variety=parameters.variety,
            device=self.device,
        )
        return image


def em_images_steps(
    parameters: EmFibreParameters,
    contrast: Preset,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    model: str = "auto",
    device: str = "auto",
) -> Steps[list[EmField]]:
    """Make labelled electron micrographs in memory.

    Parameters
    ----------
    parameters
        Of the layouts and their looks.
    contrast, model, device
        As of `EmRenderer.of`.
    count, seed, first
        Images ``first`` to ``first + count - 1`` of a seed.

    Yields
    ------
    Progress by image; a Notice where fibres fill less than was asked for.

    Raises
    ------
    InputError
        The parameters cannot be drawn, or as of `EmRenderer.of`.
    """
    renderer = EmRenderer.of(contrast, model, device)
    yield Notice(renderer.said())
    made = []
    for index in range(first, first + count):
        layout = em_fibres(parameters, seed, index)
        short = shortfall(layout, parameters)
        if short:
            yield Notice(f"Image {index}: {short}", "warning")
        image = yield from quiet(renderer.render(layout, parameters, seed, index))
        made.append(EmField(image, layout.classes, layout.labels, layout.pixel_size))
        yield Progress(index - first + 1, count)
    return made
