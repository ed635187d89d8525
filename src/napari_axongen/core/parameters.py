"""Parameter models of the verbs: form, command line and recipe are made from them.

They stand apart from the computation so that a form can be shown before torch is loaded.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .image import PIXEL_SIZE_RANGE

DEFAULT_MEMORY = 640
"""Megabytes that one network call may take."""

PIXEL_SIZE: Any = Field(
    None,
    ge=PIXEL_SIZE_RANGE[0],
    le=PIXEL_SIZE_RANGE[1],
    title="Pixel size",
    description="Side of a pixel; empty: as the image says, or unknown.",
    json_schema_extra={"unit": "um"},
)


class SegmentParameters(BaseModel):
    """Parameters of `segment`: form, command line and recipe are made from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(
        "auto",
        title="Model",
        description="Name of a model, or 'auto' to take the one that suits the image.",
    )
    pixel_size: float | None = PIXEL_SIZE
    axon_diameter: float | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Axon diameter",
        description="Median axon diameter in pixels of the image; empty: known from the pixel "
        "size, or found.",
        json_schema_extra={"unit": "px"},
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Threshold",
        description="Probability of being part of a fibre from which a pixel is counted as such.",
    )
    min_diameter: float = Field(
        3.0,
        ge=0,
        le=1000,
        title="Smallest axon",
        description="Axons of a smaller equivalent diameter are left out of the fibres.",
        json_schema_extra={"unit": "px"},
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        title="Device",
        description="auto, cpu, cuda or mps.",
    )
    memory: int = Field(
        DEFAULT_MEMORY,
        ge=64,
        le=1_000_000,
        title="Memory",
        description="Memory that a network call may take; sets the size of the tiles.",
        json_schema_extra={"unit": "MB"},
    )
