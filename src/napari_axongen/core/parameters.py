"""Parameter models of the verbs: form, command line and recipe are made from them.

They stand apart from the computation so that a form can be shown before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from .image import PIXEL_SIZE_RANGE, check_pixel_size

Method: TypeAlias = Literal["cgan", "ddpm", "sdedit", "ddib", "generate"]
Contrast: TypeAlias = Literal["auto", "TEM", "SEM", "fluorescence"]

DEFAULT_MEMORY = 512
"""Megabytes that one network call may take."""

PIXEL_SIZE: Any = Field(
    None,
    ge=PIXEL_SIZE_RANGE[0],
    le=PIXEL_SIZE_RANGE[1],
    title="Pixel size",
    description="Side of a pixel; empty: as the image says, or unknown.",
    json_schema_extra={"unit": "um"},
)


AXON_DIAMETER: Any = Field(
    None,
    ge=1,
    le=10_000,
    title="Axon diameter",
    description="Median axon diameter in pixels of the image; empty: known from the pixel "
    "size, or found.",
    json_schema_extra={"unit": "px"},
)
DEVICE: Any = Field("auto", title="Device", description="auto, cpu, cuda or mps.")
MEMORY: Any = Field(
    DEFAULT_MEMORY,
    ge=64,
    le=1_000_000,
    title="Memory",
    description="Memory that a network call may take; sets the size of the tiles.",
    json_schema_extra={"unit": "MB"},
)
STEPS: Any = Field(
    8, ge=1, le=1000, title="Steps", description="Of diffusion: calls of the network."
)
GUIDANCE: Any = Field(
    2.0,  # of 1, 1.5, 2 and 3 the one whose renderings keep most structure on validation images
    ge=0,
    le=10,
    title="Guidance",
    description="Of diffusion, ddib apart: how strongly the condition is obeyed; 1 as learned, in "
    "half the time, more exaggerates it, 0 ignores it.",
)


def _smallest_axon(default: float) -> Any:
    return Field(
        default,
        ge=0,
        le=1000,
        title="Smallest axon",
        description="Axons of a smaller equivalent diameter are left out of the fibres.",
        json_schema_extra={"unit": "px"},
    )


def _found_from(title: str, what: str) -> Any:
    return Field(
        None,
        ge=0.01,
        le=1,
        title=title,
        description=f"Of fluorescence: probability from which something is taken for {what}; "
        "empty: as the model's card says.",
    )


class SegmentParameters(BaseModel):
    """Parameters of `segment`: form, command line and recipe are made from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(
        "auto",
        title="Model",
        description="Name of a model, or 'auto' to take the one that suits the image.",
    )
    contrast: Contrast = Field(
        "auto",
        title="Contrast",
        description="What kind of image it is; 'auto' looks at it, and a named model knows.",
    )
    pixel_size: float | None = PIXEL_SIZE
    axon_diameter: float | None = AXON_DIAMETER
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Threshold",
        description="Probability of being part of a fibre from which a pixel is counted as such.",
    )
    min_diameter: float = _smallest_axon(3.0)
    axon_threshold: float | None = _found_from("Axon threshold", "an axon")
    bouton_threshold: float | None = _found_from("Bouton threshold", "a bouton")
    min_length: float = Field(
        20.0,
        ge=0,
        le=10_000,
        title="Shortest axon",
        description="Of fluorescence: what is less long is left out of the axons (the diagonal of "
        "the box around it counts).",
        json_schema_extra={"unit": "px"},
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = DEVICE
    memory: int = MEMORY


OF_MICROGRAPHS = ("axon_diameter", "threshold", "min_diameter")
"""Fields that the segmentation of a fluorescence image does not heed."""

OF_FLUORESCENCE: Mapping[str, tuple[str, ...]] = {
    "axon": ("axon_threshold", "min_length"),
    "bouton": ("bouton_threshold",),
}
"""Fields that only a fluorescence image heeds, by what is looked for in it."""


def variety_field(usual: float) -> Any:
    """Field of every verb that renders masks, with what is usual for it."""
    return Field(
        usual,
        ge=0,
        le=3,
        title="Variety",
        description="Of cgan: how far axons, myelin and background differ in brightness from place "
        "to place and from seed to seed: 1 as in the images that the model learned from, 0 not at "
        "all.",
    )


class TranslateParameters(BaseModel):
    """Parameters of `translate`: form, command line and recipe are made from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(
        "auto",
        title="Model",
        description="Name of a model, its file or the folder of its training run, or 'auto' to "
        "take the one that suits the image.",
    )
    method: Method = Field(
        "cgan",
        title="Method",
        description="cgan: conditional generative adversarial network; by diffusion: ddpm renders "
        "the condition, sdedit goes on from the image itself, ddib takes it to noise and back, "
        "generate makes up an image, of the mask if there is one.",
    )
    target: Literal["auto", "TEM", "SEM"] = Field(
        "auto",
        title="Target",
        description="Contrast that is made; auto: the other one than the image's.",
    )
    condition: Literal["mask", "mask and structure", "structure"] = Field(
        "mask",
        title="Condition",
        description="What is rendered: where axons and myelin lie (the mask), where grey values "
        "change (the structure, which keeps organelles), or both.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="The same seed gives the same texture.",
    )
    variety: float = variety_field(0.5)
    sampler: Literal["auto", "dpm++", "ddim", "ddpm", "euler"] = Field(
        "auto",
        title="Sampler",
        description="Of diffusion: dpm++ (DPM-Solver++(2M)), ddim, ddpm (ancestral; many steps), "
        "euler (of rectified flows); auto: what suits the model.",
    )
    steps: int = STEPS
    strength: float = Field(
        0.6,
        ge=0.05,
        le=1,
        title="Strength",
        description="Of sdedit: how far the image is taken towards noise; 1: nothing of it stays.",
    )
    guidance: float = GUIDANCE
    samples: int = Field(
        1,
        ge=1,
        le=64,
        title="Samples",
        description="Renderings of one image, as a stack, and how much they differ; their seeds "
        "count up from the seed.",
    )
    shared_noise: bool = Field(
        False,
        title="Shared noise",
        description="All planes of a stack get the same noise, so that a series does not flicker.",
    )
    pixel_size: float | None = PIXEL_SIZE
    axon_diameter: float | None = AXON_DIAMETER
    device: Literal["auto", "cpu", "cuda", "mps"] = DEVICE
    memory: int = MEMORY

    @property
    def network_calls(self) -> int:
        """How often the network sees each pixel of the result."""
        if self.method == "cgan":
            return self.samples
        twice = self.method == "ddib" or self.guidance not in (0, 1)
        return self.samples * self.steps * (2 if twice else 1)


_DRAWN, _STEPPED = {"seed", "samples", "shared_noise"}, {"steps", "guidance", "sampler"}
HEEDED: Mapping[str, set[str]] = {
    "cgan": {"condition", "variety", *_DRAWN},
    "ddpm": {"condition", *_DRAWN, *_STEPPED},
    "sdedit": {"condition", "strength", *_DRAWN, *_STEPPED},
    "ddib": {"condition", "steps"},
    "generate": {*_DRAWN, *_STEPPED},
}
"""Fields of `TranslateParameters` that a method heeds, of those that not all do."""


def unheeded_by(method: str) -> list[str]:
    """Fields of `TranslateParameters` that a method does not heed."""
    by_some = set[str]().union(*HEEDED.values())
    return [name for name in TranslateParameters.model_fields if name in by_some - HEEDED[method]]


class MeasureParameters(BaseModel):
    """Parameters of `measure`: form, command line and recipe are made from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    pixel_size: float | None = PIXEL_SIZE
    axon_shape: Literal["circle", "ellipse"] = Field(
        "circle",
        title="Axon shape",
        description="What a diameter is: that of the circle of equal area, or the minor axis of "
        "the ellipse of equal second moments.",
    )
    exclude_border: bool = Field(
        False,
        title="Leave out border fibres",
        description="Leave fibres that touch the edge of the image out of the table and its means; "
        "area fractions and density count them all the same.",
    )
    min_diameter: float = _smallest_axon(0.0)

    def __init__(self, **values: Any) -> None:
        # pydantic would wrap the error of a validator; an impossible scale is the user's to mend.
        if isinstance(values.get("pixel_size"), int | float):
            check_pixel_size(values["pixel_size"], "the mask")
        super().__init__(**values)
