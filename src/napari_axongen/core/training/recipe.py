"""Recipe files: all that a training run depends on, in YAML.

``axongen train recipes/NAME.yaml --out RUN`` reads one. Everything random in the run follows from
``seed``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_axongen.core.classes import FIBRE_CLASSES, FLUORESCENCE_CLASSES
from napari_axongen.core.datasets.augmentation import Augmentation
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.card import NAME_PATTERN, Microscope
from napari_axongen.core.parameters import GUIDANCE, STEPS, variety_field
from napari_axongen.core.surrogate.em_parameters import METHOD, Rendering

Contrast: TypeAlias = Literal["TEM", "SEM"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FolderData(_Section):
    """A folder of images with manual truth, in any layout that `datasets` knows."""

    source: Literal["folder"]
    root: str = Field(
        title="Folder", description="Path, or name below AXONGEN_DATA or ../shared/data."
    )
    train: list[str] = Field(
        [], title="Animals to train on", description="Empty: all that are in no other part."
    )
    validation: list[str] = Field(
        [], title="Validation animals", description="Held out whole: never trained on."
    )
    test: list[str] = Field(
        [], title="Test animals", description="Held out whole; scored once, at the end."
    )
    licence: str = Field("", title="Licence", description="Licence of the data.")

    @property
    def named(self) -> dict[str, list[str]]:
        """Animals by the part that they are to be in, as `splitting.split_named` takes them."""
        return {"train": self.train, "val": self.validation, "test": self.test}


class FieldsData(_Section):
    """Fields made by the package itself: image k is made from seed ``seed + k``."""

    source: Literal["em-fields"]
    count: int = Field(ge=2, title="Fields", description="How many; the last is held out.")
    side: int = Field(ge=64, title="Side", description="Rows and columns of a field.")
    seed: int = Field(0, ge=0, title="Seed")


class SurrogateData(_Section):
    """Surrogate two-photon images: image k of a seed is always the same."""

    source: Literal["surrogate"]
    parameters: str | dict[str, Any] = Field(
        "two-photon",
        title="Parameters",
        description="Preset, file, or what is to differ from a preset, as `generate` takes them.",
    )
    count: int = Field(256, ge=1, title="Images", description="How many different ones.")
    held_out: int = Field(
        8, ge=0, title="Held out", description="Further images, to validate on; as main data only."
    )
    visible: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Visible",
        description="Contrast to noise from which an axon or bouton counts, as a person would see "
        "it; 0: all do.",
    )
    width: float | None = Field(
        None,
        gt=0,
        le=100,
        title="Width",
        description="Axons are labelled as paths of this width, as a person traces them; omitted: "
        "as wide as they are.",
        json_schema_extra={"unit": "px"},
    )
    seed: int = Field(0, ge=0, title="Seed")


class MadeData(_Section):
    """Fibre layouts, rendered by a translator or a denoiser."""

    source: Literal["micrographs"] = "micrographs"
    method: Rendering = METHOD
    model: str = Field("auto", title="Model", description="Its name or file.")
    count: int = Field(ge=1, title="Images")
    side: int = Field(512, ge=64, title="Side", description="Rows and columns of an image.")
    variety: float = variety_field(2.0)
    steps: int = STEPS
    guidance: float = GUIDANCE
    seed: int = Field(0, ge=0, title="Seed")


class Optimisation(_Section):
    """Steps of AdamW with a linear warm-up and a decay to zero."""

    steps: int = Field(ge=1, title="Steps")
    batch: int = Field(8, ge=1, title="Crops a step")
    crop: int = Field(160, ge=16, title="Side of a crop", json_schema_extra={"unit": "px"})
    learning_rate: float = Field(2e-3, gt=0, le=1, title="Highest learning rate")
    weight_decay: float = Field(1e-3, ge=0, le=1, title="Weight decay")
    warm_up: int = Field(100, ge=0, title="Warm-up", description="Steps.")
    average: float = Field(
        0.995, ge=0, lt=1, title="EMA", description="Decay of the moving average of the weights."
    )


class BaseRecipe(_Section):
    """What every training run has."""

    name: str = Field(pattern=NAME_PATTERN, title="Name of the model")
    title: str = Field("", title="Title")
    description: str = Field("", title="Description")
    network: dict[str, Any] = Field(title="Network", description="Name and arguments.")
    start: str | None = Field(
        None,
        title="Start",
        description="Model of the same network, by name or file, or the folder of a run, whose "
        "weights the run begins with; omitted, random ones.",
    )

    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation
    validate_every: int = Field(200, ge=1, title="Validation interval", description="Steps.")
    keep: Literal["best", "last"] = Field(
        "best",
        title="Keep",
        description="Which weights become the model: those that did best on validation, or the "
        "last.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        title="Patience",
        description="Validations without improvement after which training ends; omitted: it goes "
        "on to its last step.",
    )
    checkpoint_seconds: float = Field(
        60, gt=0, title="Checkpoint interval", json_schema_extra={"unit": "s"}
    )
    seed: int = Field(0, ge=0, title="Seed")

    @property
    def full_network(self) -> dict[str, Any]:
        """The network with all its arguments, as `networks.build` takes it."""
        return self.network


class Recipe(BaseRecipe):
    """One training run of a segmenter."""

    task: Literal["segmentation"] = "segmentation"
    contrast: Microscope
    classes: list[str] = Field(
        list(FIBRE_CLASSES),
        title="Classes",
        description="What each pixel can be; of fluorescence background and axon, or bouton.",
    )
    pixel_size: float | None = Field(
        None, gt=0, title="Working pixel size", json_schema_extra={"unit": "um"},
        description="Images are brought to it; omitted, they are taken as they are.",
    )  # fmt: skip
    loss: Literal["cross-entropy + dice", "cross-entropy", "dice"] = Field(
        "cross-entropy + dice", title="Loss", description="Dice is soft, over the whole batch."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", title="Schedule", description="Of the learning rate, after the warm-up."
    )
    data: Annotated[FolderData | FieldsData | SurrogateData, Field(discriminator="source")]
    made: Annotated[SurrogateData | MadeData, Field(union_mode="left_to_right")] | None = Field(
        None, title="Made images", description="To train on beside the data; none when omitted."
    )
    share: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Share",
        description="Part of the crops that are of made images; omitted: by their number and size.",
    )

    @property
    def full_network(self) -> dict[str, Any]:
        """The network with as many outputs as there are classes."""
        outputs = (
            {} if len(self.classes) == len(FIBRE_CLASSES) else {"out_channels": len(self.classes)}
        )
        return {**self.network, **outputs}

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        """Classes and sources are those of the microscope."""
        fluorescent = self.contrast == "fluorescence"
        known = [list(c) for c in FLUORESCENCE_CLASSES] if fluorescent else [list(FIBRE_CLASSES)]
        if self.classes not in known:
            raise ValueError(
                f"of {self.contrast} the classes are {' or '.join(', '.join(k) for k in known)}"
            )
        for part in (self.data, self.made):
            if isinstance(part, SurrogateData) and not fluorescent:
                raise ValueError(f"surrogates are fluorescence images, not {self.contrast}")
            if isinstance(part, FieldsData | MadeData) and fluorescent:
                raise ValueError(f"{part.source} are electron micrographs, not fluorescence images")
        if isinstance(self.data, SurrogateData) and isinstance(self.made, SurrogateData):
            raise ValueError("the data are surrogates already; leave out 'made'")
        if self.share is not None and self.made is None:
            raise ValueError("a share of made images is given, but none are made")
        return self


class Animals(_Section):
    """Some animals of a BIDS-microscopy folder; others are not looked at."""

    root: str = Field(
        title="Folder", description="Path, or name below AXONGEN_DATA or ../shared/data."
    )
    train: list[str] = Field(title="Animals to train on", min_length=1)
    validation: list[str] = Field([], title="Validation animals")
    licence: str = Field("", title="Licence", description="Licence of the data.")


class Conditions(_Section):
    """How often a translator is trained with which parts of its condition."""

    both: float = Field(0.4, ge=0, title="Mask and structure")
    mask: float = Field(0.3, ge=0, title="Mask alone")
    structure: float = Field(0.3, ge=0, title="Structure alone")
    noise: float = Field(
        0.15, ge=0, le=1, title="Noise", description="Highest deviation added to the ranks."
    )


class Losses(_Section):
    """Weights of a translator's losses."""

    adversarial: float = Field(1.0, ge=0, title="Adversarial", description="Hinge, PatchGAN.")
    matching: float = Field(4.0, ge=0, title="Feature matching")
    grey: float = Field(
        5.0, ge=0, title="Grey", description="L1 of local means, to the real image of a pair."
    )
    pixel: float = Field(1.0, ge=0, title="Pixel", description="L1 of pixels, likewise.")
    segmentation: float = Field(
        1.0, ge=0, title="Segmentation", description="A segmenter shall find the mask again."
    )


class TranslationRecipe(BaseRecipe):
    """One training run of a translator, by a conditional GAN."""

    task: Literal["translation"]
    contrast: Contrast
    source: Contrast
    axon_diameter: float = Field(
        gt=0, title="Working scale", json_schema_extra={"unit": "px"},
        description="Images are brought to this median axon diameter.",
    )  # fmt: skip
    data: Animals = Field(title="Images of the target's contrast")
    sources: Animals = Field(title="Images of the source's contrast, for masks and structures")
    conditions: Conditions = Conditions()
    losses: Losses = Losses()
    critic: list[int] = Field(
        [12, 24, 48, 64],
        title="Critic",
        description="Channels of the segmenter that is trained along, on the target's images.",
    )


class DenoiserConditions(Conditions):
    """How often a denoiser is trained with which parts of what it may be told."""

    nothing: float = Field(0.1, ge=0, title="Neither")
    domain: float = Field(
        0.1, ge=0, le=1, title="No domain", description="Chance that the microscope is not told."
    )


class DiffusionRecipe(BaseRecipe):
    """One training run of a denoiser."""

    task: Literal["diffusion"]
    axon_diameter: float = Field(
        gt=0, title="Working scale", json_schema_extra={"unit": "px"},
        description="Images are brought to this median axon diameter.",
    )  # fmt: skip
    data: dict[Contrast, Animals] = Field(title="Images of each contrast", min_length=1)
    conditions: DenoiserConditions = DenoiserConditions()


AnyRecipe: TypeAlias = Recipe | TranslationRecipe | DiffusionRecipe
_KINDS: dict[str, type[AnyRecipe]] = {
    "segmentation": Recipe,
    "translation": TranslationRecipe,
    "diffusion": DiffusionRecipe,
}


def load_recipe(path: Path | str) -> AnyRecipe:
    """Read and check a recipe file.

    Raises
    ------
    InputError
        The file cannot be read, is not YAML, or an entry is unknown, missing or out of bounds: the
        entry is named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        # YAML reads JSON too, but for numbers such as 1e-05, which it takes for words
        entries = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
        task = entries.get("task") if isinstance(entries, dict) else None
        return _KINDS.get(str(task), Recipe).model_validate(entries)
    except OSError as error:
        raise InputError(f"Recipe {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"Recipe {path} is not YAML: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"Recipe {path}: '{where}': {first['msg']}.") from error
