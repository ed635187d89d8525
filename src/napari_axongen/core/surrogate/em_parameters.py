"""Parameters of fibre layouts: form, command line and recipe are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from napari_axongen.core.image import PIXEL_SIZE_RANGE
from napari_axongen.core.parameters import GUIDANCE, STEPS, variety_field

DiameterLaw: TypeAlias = Literal["lognormal", "gamma"]
Preset: TypeAlias = Literal["tem", "sem"]
Rendering: TypeAlias = Literal["cgan", "ddpm"]

METHOD: Any = Field(
    "cgan",
    title="Method",
    description="How a micrograph is made of a layout: cgan, by a conditional generative "
    "adversarial network, or ddpm, by diffusion.",
)


def _number(
    default: float, least: float, most: float, title: str, description: str, unit: str = ""
) -> Any:
    extra: Any = {"unit": unit} if unit else None
    return Field(
        default, ge=least, le=most, title=title, description=description, json_schema_extra=extra
    )


def _side(title: str, description: str) -> Any:
    return Field(
        512, ge=1, le=8192, title=title, description=description, json_schema_extra={"unit": "px"}
    )


class EmFibreParameters(BaseModel):
    """What a layout of myelinated fibres is drawn from; the defaults are the preset ``tem``.

    ``method``, ``steps``, ``guidance`` and ``variety`` are of the micrograph that a model makes of
    it, not of the layout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    width: int = _side("Width", "Columns.")
    height: int = _side("Height", "Rows.")
    pixel_size: float = _number(
        0.00493, *PIXEL_SIZE_RANGE, "Pixel size", "Side of a pixel.", unit="um"
    )
    diameter_law: DiameterLaw = Field(
        "lognormal",
        title="Diameter law",
        description="Distribution of the axon diameters, cut off at its 0.1% and 99.9% quantiles "
        "and at 2 pixels.",
    )
    diameter_mean: float = _number(
        0.43, 0.01, 100, "Mean axon diameter", "Arithmetic mean, under either law.", unit="um"
    )
    diameter_sd: float = _number(
        0.17,
        0,
        100,
        "Axon diameter SD",
        "Standard deviation of the diameter itself, under either law; at most the mean.",
        unit="um",
    )
    gratio_mean: float = _number(
        0.74, 0.3, 0.9, "Mean g-ratio", "Mean of axon diameter / fibre diameter."
    )
    gratio_sd: float = _number(
        0.05,
        0,
        0.2,
        "g-ratio SD",
        "Standard deviation of the normal law of the g-ratio, which is cut off on both sides alike "
        "at 2.5 of them or at 0.2 and 0.95.",
    )
    fraction: float = _number(
        0.62,
        0.01,
        0.85,
        "Fibre volume fraction",
        "Part of the area that myelinated fibres (axon and sheath) are to take.",
    )
    roughness: float = _number(
        0.1,
        0,
        0.15,
        "Roughness",
        "Irregularity of outlines: relative amplitude of the second harmonic, the higher ones fall "
        "off; 0: circles.",
    )
    gap: float = _number(
        0.02,
        0,
        5,
        "Gap",
        "Distance kept between fibres, to within two pixels; never less than one.",
        unit="um",
    )
    unmyelinated: float = _number(
        0, 0, 0.9, "Unmyelinated axons", "Part of the number of all axons; 0: none."
    )
    unmyelinated_mean: float = _number(
        0.25,
        0.01,
        100,
        "Mean unmyelinated diameter",
        "As the mean axon diameter, for axons without myelin.",
        unit="um",
    )
    unmyelinated_sd: float = _number(
        0.08,
        0,
        100,
        "Unmyelinated diameter SD",
        "As the axon diameter SD, for axons without myelin.",
        unit="um",
    )
    method: Rendering = METHOD
    variety: float = variety_field(1.0)
    steps: int = STEPS
    guidance: float = GUIDANCE


OF_IMAGES = ("method", "variety", "steps", "guidance")
"""Fields that a layout by itself does not heed."""

PRESETS: Mapping[Preset, EmFibreParameters] = {
    # Mouse corpus callosum: the median axon is 0.40 um, some 80 px.
    "tem": EmFibreParameters(),
    # Rat spinal cord: the median axon is 1.6 um, 16 px; thicker sheaths.
    "sem": EmFibreParameters(
        pixel_size=0.1,
        diameter_mean=1.8,
        diameter_sd=0.92,
        gratio_mean=0.66,
        gratio_sd=0.06,
        fraction=0.6,
        gap=0.15,
        unmyelinated_mean=0.5,
        unmyelinated_sd=0.15,
    ),
}
"""Tissues by the contrast in which they are usually seen."""
