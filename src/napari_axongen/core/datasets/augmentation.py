"""How strongly training crops are varied: what `augment` does, without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Augmentation(BaseModel):
    """How strongly training crops are varied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole_pixels: bool = Field(
        False,
        title="Whole pixels",
        description="Crops are mirrored and turned by quarters alone, without interpolation, which "
        "would blur them; zoom and stretch are not used.",
    )
    focus: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Focus",
        description="Part of the crops that lie around a pixel of some class, where classes are "
        "rare; the others lie anywhere.",
    )
    zoom: float = Field(
        0.35, ge=0, le=2, title="Zoom", description="Range of the logarithm of the magnification."
    )
    stretch: float = Field(
        0.1, ge=0, le=0.5, title="Stretch", description="Range of the relative change of one axis."
    )
    contrast: float = Field(
        0.3, ge=0, le=2, title="Contrast", description="Range of the logarithm of the contrast."
    )
    brightness: float = Field(
        0.15, ge=0, le=1, title="Brightness", description="Range of the offset, of the grey range."
    )
    gamma: float = Field(
        0.5, ge=0, le=2, title="Gamma", description="Range of the logarithm of gamma."
    )
    noise: float = Field(
        0.12, ge=0, le=1, title="Noise", description="Highest standard deviation of white noise."
    )
    blur: float = Field(
        1.2, ge=0, le=5, title="Blur", description="Highest sigma of a Gaussian blur.",
        json_schema_extra={"unit": "px"},
    )  # fmt: skip
    shading: float = Field(
        0.15, ge=0, le=1, title="Shading", description="Standard deviation of a smooth background."
    )
