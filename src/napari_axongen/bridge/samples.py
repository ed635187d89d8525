"""File > Open Sample: fields that the plugin draws itself, with their ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_axongen.core.events import Notice
from napari_axongen.core.files import AXON, MYELIN

from .layers import UM
from .surrogates import layers_of

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


def two_photon_axons() -> list[LayerData]:
    """Make a surrogate two-photon image of axons, with its truth."""
    from napari_axongen.core.events import run
    from napari_axongen.core.surrogate.generator import generate_steps
    from napari_axongen.core.surrogate.presets import preset

    made = run(generate_steps(preset(TWO_PHOTON_PRESET), seed=0))
    return [item for item in layers_of(made, "Two-photon") if not isinstance(item, Notice)]


def _field(contrast: Literal["tem", "sem"]) -> list[LayerData]:
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
