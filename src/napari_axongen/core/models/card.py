"""What a model is, was trained on and can do; the card travels in the file of the weights."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

CARD_KEY = "axongen_card"
"""Key of the card's JSON in the metadata of a safetensors file."""

Microscope: TypeAlias = Literal["TEM", "SEM", "fluorescence"]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
"""Names of models: also names of files, so that nothing in them can lead to another folder."""


def package_version() -> str:
    """Version of this package; ``unknown`` in a tree that is not installed."""
    try:
        return version("napari-axongen")
    except PackageNotFoundError:
        return "unknown"


class Looks(BaseModel):
    """Grey values of a microscope's images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grey_range: tuple[float, float] = Field(
        title="Grey range", description="Usual 1st and 99th percentile, 0 to 255."
    )
    quantiles: list[float] = Field(
        min_length=2,
        title="Quantiles",
        description="Equally spaced, lowest first; of that range, which is 0 to 1.",
    )


class Card(BaseModel):
    """Card of one model.

    A card and its weights are one file, ``NAME.safetensors``: they cannot part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    name: str = Field(pattern=NAME_PATTERN, title="Name")
    title: str = Field("", title="Title")
    description: str = Field("", title="Description")
    task: Literal["segmentation", "translation", "diffusion"] = Field("segmentation", title="Task")
    contrast: Microscope | None = Field(
        None,
        title="Contrast",
        description="Microscope whose images it knows, or makes; empty: any.",
    )
    source: Literal["TEM", "SEM"] | None = Field(
        None, title="Source", description="Microscope whose images a translator is meant for."
    )
    grey_range: tuple[float, float] | None = Field(
        None,
        title="Grey range",
        description="Of a translator: usual 1st and 99th percentile of the images that it makes, "
        "0 to 255.",
    )
    looks: dict[Literal["TEM", "SEM"], Looks] = Field(
        default_factory=dict,
        title="Looks",
        description="Of a denoiser: the microscopes whose images it makes.",
    )
    network: dict[str, Any] = Field(
        title="Network", description="Name and arguments, as `core.networks.build` takes them."
    )
    classes: list[str] = Field(
        min_length=1,
        title="Classes",
        description="What each output channel is, in order; of a translator, what its mask holds.",
    )
    pixel_size: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        title="Pixel size",
        description="At which the network works; empty: unknown.",
        json_schema_extra={"unit": "um"},
    )
    axon_diameter: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        title="Axon diameter",
        description="Median equivalent diameter of the axons it was trained on, in working pixels.",
        json_schema_extra={"unit": "px"},
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Threshold",
        description="Probability from which a pixel is counted as found, chosen on validation.",
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        title="Training",
        description="Recipe, data and their licence, split, device.",
    )
    metrics: dict[str, dict[str, float]] = Field(
        default_factory=dict, title="Metrics", description="Scores by data set, then by name."
    )
    history: list[dict[str, float]] = Field(
        default_factory=list,
        title="History",
        description="Of the training: step, losses and scores (val_...) at each validation.",
    )
    version: str = Field(
        default_factory=package_version,
        title="Version",
        description="Version of this package that made the model.",
    )
