"""Parameters of `prepare`: command line and recipe are made from them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from napari_axongen.core.image import PIXEL_SIZE_RANGE


def _animals(part: str, default: str) -> str | None:
    found: str | None = Field(
        None,
        title=f"Animals of {part}",
        description=f"Their names, separated by commas; empty: {default}.",
    )
    return found


class PrepareParameters(BaseModel):
    """How a data set becomes tiles."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    tile: int = Field(
        64,
        ge=8,
        le=8192,
        title="Tile",
        description="Rows and columns of a tile.",
        json_schema_extra={"unit": "px"},
    )
    stride: int | None = Field(
        None,
        ge=1,
        le=8192,
        title="Stride",
        description="From one tile to the next; empty: the tile, so that tiles do not overlap.",
        json_schema_extra={"unit": "px"},
    )
    pixel_size: float | None = Field(
        None,
        ge=PIXEL_SIZE_RANGE[0],
        le=PIXEL_SIZE_RANGE[1],
        title="Pixel size",
        description="Bring all images to it; empty: as they are.",
        json_schema_extra={"unit": "um"},
    )
    axon_diameter: float | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Axon diameter",
        description="Bring the median axon of each image to it, instead of a pixel size.",
        json_schema_extra={"unit": "px"},
    )
    split: str = Field(
        "0.7,0.15,0.15",
        title="Split",
        description="Shares of train, val and test, by whole animals; they sum to 1.",
    )
    train: str | None = _animals("train", "all that val and test do not name")
    val: str | None = _animals("val", "by the split")
    test: str | None = _animals("test", "by the split")
    seed: int = Field(
        0, ge=0, title="Seed", description="Chooses among the splits that fit the shares."
    )
    min_foreground: float = Field(
        0,
        ge=0,
        le=1,
        title="Least foreground",
        description="Part of a tile that axons and myelin must take for it to be kept.",
    )
    side_by_side: bool = Field(
        False,
        title="Side by side",
        description="Write PNG files, mask left and image right, instead of pairs of TIFF files.",
    )

    @field_validator("axon_diameter")
    @classmethod
    def _one_scale(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("pixel_size") is not None:
            raise ValueError("give a pixel size or an axon diameter, not both")
        return value

    @field_validator("split")
    @classmethod
    def _shares(cls, value: str) -> str:
        try:
            shares = [float(word) for word in value.split(",")]
        except ValueError:
            shares = []
        if len(shares) != 3 or not all(0 <= share <= 1 for share in shares):
            raise ValueError("it must be three numbers from 0 to 1, such as 0.7,0.15,0.15")
        if abs(sum(shares) - 1) > 1e-3:
            raise ValueError(f"its shares sum to {sum(shares):g}, not to 1")
        return value

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, val and test."""
        train, val, test = (float(word) for word in self.split.split(","))
        return train, val, test

    @property
    def named(self) -> Mapping[str, list[str]]:
        """Animals that are named for train, val and test; empty where none are."""
        given = {"train": self.train, "val": self.val, "test": self.test}
        return {
            part: [name.strip() for name in names.split(",") if name.strip()]
            for part, names in given.items()
            if names is not None
        }
