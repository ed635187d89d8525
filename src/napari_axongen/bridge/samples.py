"""File > Open Sample: fields that the plugin draws itself, with their ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, run
from napari_axongen.core.files import AXON, MYELIN
from napari_axongen.core.surrogate.em_laws import suited
from napari_axongen.core.surrogate.em_parameters import PRESETS, Preset

from . import micrographs
from .layers import UM
from .micrographs import micrograph
from .surrogates import layers_of
from .translating import translators

if TYPE_CHECKING:
    from napari.types import LayerData

FIELD_SHAPE = (768, 768)
TWO_PHOTON_PRESET = "two-photon"


def tem_field() -> list[LayerData]:
    """Draw a transmission electron micrograph of myelinated axons (dark myelin)."""
    return _field("tem")


def sem_field() -> list[LayerData]:
    """Draw a scanning electron micrograph of myelinated axons (bright myelin)."""
    return _field("sem")


def tem_micrograph() -> list[LayerData]:
    """Make a labelled micrograph by the translator that makes TEM."""
    return _micrograph("tem")


def sem_micrograph() -> list[LayerData]:
    """Make a labelled micrograph by the translator that makes SEM."""
    return _micrograph("sem")


def two_photon_axons() -> list[LayerData]:
    """Make a surrogate two-photon image of axons, with its truth."""
    from napari_axongen.core.surrogate.generator import generate_steps
    from napari_axongen.core.surrogate.presets import preset

    made = run(generate_steps(preset(TWO_PHOTON_PRESET), seed=0))
    return [item for item in layers_of(made, "Two-photon") if not isinstance(item, Notice)]


def _micrograph(contrast: Preset) -> list[LayerData]:
    card = next((card for card in translators() if card.contrast == contrast.upper()), None)
    if card is None:
        raise InputError(
            f"No model that makes {contrast.upper()} images is installed; import one with "
            "'axongen models import'."
        )
    height, width = FIELD_SHAPE
    size = {"height": height, "width": width}
    parameters = suited(PRESETS[contrast], card.axon_diameter).model_copy(update=size)
    made = run(micrograph(parameters, card, seed=0))
    return micrographs.layers_of(made, f"{contrast.upper()} micrograph")


def _field(contrast: Preset) -> list[LayerData]:
    from napari_axongen.core.surrogate.em_fields import em_field

    field = em_field(shape=FIELD_SHAPE, contrast=contrast, seed=0)
    place: dict[str, Any] = {
        "scale": (field.pixel_size, field.pixel_size),
        "units": (UM, UM),
        "axis_labels": ("y", "x"),
    }
    name = f"{contrast.upper()} field"
    truths = {
        "myelin": (field.classes == MYELIN).view(np.uint8),
        "axon": (field.classes == AXON).view(np.uint8),
        "fibres": field.labels,
    }
    image: LayerData = (field.image, {"name": name, "colormap": "gray", **place}, "image")
    return [image] + [
        (values, {"name": f"{name} true {kind}", "visible": False, **place}, "labels")
        for kind, values in truths.items()
    ]
