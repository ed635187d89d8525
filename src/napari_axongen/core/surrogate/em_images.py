"""Electron micrographs out of nothing: fibre layouts, rendered by a translator or a denoiser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.device import Device, choose_device
from napari_axongen.core.events import Notice, Progress, Steps, quiet
from napari_axongen.core.methods import make_plane
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.planning import Plan, check_model
from napari_axongen.core.rendering import Source, grey_levels
from napari_axongen.core.translators import (
    Translator,
    check_target,
    load_translator,
    task_of,
    translator_to,
)

from .em_fields import EmField
from .em_laws import median_diameter
from .em_layout import EmLayout, em_fibres, shortfall
from .em_parameters import OF_IMAGES, EmFibreParameters, Preset, Rendering


@dataclass(frozen=True)
class EmRenderer:
    """Makes images of layouts; image ``index`` of ``seed`` is the same whatever else is made.

    Attributes
    ----------
    model
        The translator or denoiser.
    contrast
        ``tem`` or ``sem``: what the images shall be.
    device
        Where to compute.
    """

    model: Translator
    contrast: Preset
    device: Device

    @classmethod
    def of(
        cls,
        contrast: Preset,
        model: str = "auto",
        device: str = "auto",
        method: Rendering = "cgan",
    ) -> EmRenderer:
        """Load a model.

        Parameters
        ----------
        contrast
            ``tem`` or ``sem``: what the images shall be.
        model
            Name or file of a model, or ``auto``: one that makes this contrast.
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.
        method
            ``cgan``, for which a translator is needed, or ``ddpm``, for which a denoiser is.

        Raises
        ------
        InputError
            No such model or device, or none that makes this contrast by this method.
        """
        chosen, task, target = choose_device(device), task_of(method), contrast.upper()
        loaded = load_translator(
            translator_to(target, task) if model == "auto" else model, chosen, task
        )
        check_target(loaded.card, target)
        check_model(loaded, TranslateParameters(method=method))
        return cls(loaded, contrast, chosen)

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
        """Grey values (Y, X) of a layout; yields Progress over its tiles, and steps if it has any.

        The method of the parameters must be that for which the model was loaded.
        """
        height, width = layout.classes.shape
        image = np.empty((height, width), np.uint8)
        plan = self._plan(parameters)

        def write(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            image[rows, columns] = grey_levels(values[0], plan.grey_range)

        source = Source((height, width), lambda rows, columns: layout.classes[rows, columns], None)
        # not planes of one stack, which look alike, but specimens
        noise = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
        yield from make_plane(plan, source, write, seed=noise)
        return image

    def _plan(self, parameters: EmFibreParameters) -> Plan:
        """What a translation of a layout would be done with."""
        asked = TranslateParameters(**{name: getattr(parameters, name) for name in OF_IMAGES})
        target, scale = self.contrast.upper(), self.scale(parameters)
        return Plan(self.model, scale, None, None, target, self.device, asked)


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
        Of the layouts and their looks; ``method`` says by what they are rendered, ``steps`` and
        ``guidance`` how, if by diffusion.
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
    renderer = EmRenderer.of(contrast, model, device, parameters.method)
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
