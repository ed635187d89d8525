"""A training as a person asks for it, and the recipe that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_axongen.core.checking import checked, nested
from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import numbered
from napari_axongen.core.models.store import available
from napari_axongen.core.surrogate.presets import difference
from napari_axongen.core.training.presets import PRESETS, Size, starting_recipe
from napari_axongen.core.training.recipe import (
    AnyRecipe,
    DiffusionRecipe,
    Recipe,
    TranslationRecipe,
)
from napari_axongen.core.training.runs import find_runs, free_run, runs_folder
from napari_axongen.core.training.starting import Start

from .open_pairs import OpenPair, split_of

if TYPE_CHECKING:
    from napari_axongen.core.surrogate.parameters import SurrogateParameters

MEANINGS = {
    "axon-myelin-sem": "Outlines axons and myelin in scanning electron micrographs like yours.",
    "axon-myelin-tem": "Outlines axons and myelin in transmission electron micrographs like yours.",
    "axon-fluorescence": "Finds axons in fluorescence images.",
    "bouton-fluorescence": "Finds boutons in fluorescence images.",
    "classic": "Finds axons by the network and the settings of the original study, to compare.",
    "translator": "Learns to paint the images of one microscope as another would show them.",
    "denoiser": "Learns to make micrographs out of noise, and to render labels or other images.",
}
"""What each preset trains, in a sentence."""

CONTRASTS = ("SEM", "TEM")
"""What a translator makes, and a denoiser; and the other one."""


@dataclass(frozen=True)
class Images:
    """Labelled images: of open layers, of a folder, or made by the plugin.

    Attributes
    ----------
    pairs
        Open ones.
    folder, split
        Of a folder, and its animals by part.
    surrogates
        As a recipe says them.
    """

    pairs: tuple[OpenPair, ...] = ()
    folder: str = ""
    split: Mapping[str, Sequence[str]] = field(default_factory=dict)
    surrogates: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """A training that can be started.

    Attributes
    ----------
    recipe
        Of it. Open pairs are named as the folders that they will be.
    folder
        Of the run, which is not begun yet.
    pairs
        Open pairs, by the name of their folder in that of the run.
    """

    recipe: AnyRecipe
    folder: Path
    pairs: Mapping[str, tuple[OpenPair, ...]]

    def at(self, folder: Path) -> Plan:
        """The same in another folder."""
        entries = self.recipe.model_dump(mode="json")
        for slot in self.pairs:
            _slot(entries, slot)["root"] = str(folder / slot)
        return replace(self, recipe=checked(type(self.recipe), entries), folder=folder)


@dataclass(frozen=True)
class Slot:
    """A set of images that a recipe learns from.

    Attributes
    ----------
    name, title
        What the recipe and what a person calls it.
    contrast
        The microscope that they must come from, where that is not all the same.
    """

    name: str
    title: str
    contrast: str | None = None


def slots(recipe: AnyRecipe) -> list[Slot]:
    """What sets of images a recipe learns from."""
    if isinstance(recipe, Recipe):
        return [Slot("data", "Learn from")]
    if isinstance(recipe, DiffusionRecipe):
        return [Slot(name, f"{name} images", name) for name in CONTRASTS]
    return [
        Slot("data", f"{recipe.contrast} images", recipe.contrast),
        Slot("sources", f"{recipe.source} images", recipe.source),
    ]


def classes_of_recipe(recipe: AnyRecipe) -> tuple[str, ...]:
    """What has to be labelled in its images."""
    return tuple(recipe.classes) if isinstance(recipe, Recipe) else FIBRE_CLASSES


def first_recipe(preset: str, size: Size, contrast: str = CONTRASTS[0]) -> AnyRecipe:
    """Recipe of a preset whose data are not chosen yet.

    Parameters
    ----------
    preset, size
        As of `core.training.presets`.
    contrast
        Of a translator: what it shall make.
    """
    nowhere = {"root": "."}
    entries: dict[str, Any] = {"data": {"source": "folder", **nowhere}}
    if PRESETS[preset].kind is DiffusionRecipe:
        entries = {"data": {name: {**nowhere, "train": ["?"]} for name in CONTRASTS}}
    elif PRESETS[preset].kind is TranslationRecipe:
        (other,) = (name for name in CONTRASTS if name != contrast)
        entries = {name: {**nowhere, "train": ["?"]} for name in ("data", "sources")}
        entries |= {"contrast": contrast, "source": other}
    return starting_recipe(preset, size, name=preset, **entries)


def plan_of(
    recipe: AnyRecipe, images: Mapping[str, Images | None], mixing: Mapping[str, Any]
) -> Plan:
    """A recipe with its data.

    Parameters
    ----------
    recipe
        What is to be trained, how, and its name.
    images
        By what the recipe calls them, see `slots`; None: no such images.
    mixing
        Entries of the recipe about images that are made to be trained on beside them.

    Raises
    ------
    InputError
        The name is taken, no images are chosen, or an entry is out of bounds.
    """
    if any(card.name == recipe.name for card in available()):
        raise InputError(f"There is a model '{recipe.name}' already; choose another name.")
    folder = free_run(recipe.name)
    entries = recipe.model_dump(mode="json")
    if isinstance(recipe, DiffusionRecipe):
        entries["data"] = {}
    for slot, chosen in images.items():
        if chosen is not None:
            _put(entries, slot, _data(chosen, folder / slot, isinstance(recipe, Recipe)))
    if not entries["data"]:
        raise InputError("Choose TEM or SEM images to learn from, or both.")
    pairs = {slot: one.pairs for slot, one in images.items() if one is not None and one.pairs}
    return Plan(checked(type(recipe), {**entries, **mixing}), folder, pairs)


def _data(images: Images, place: Path, with_test: bool) -> dict[str, Any]:
    """Images as a recipe says them."""
    if images.surrogates is not None:
        return {"source": "surrogate", **images.surrogates}
    root = images.folder if not images.pairs else str(place)
    split = split_of(images.pairs) if images.pairs else images.split
    said = {part: list(split.get(part, ())) for part in ("train", "validation")}
    if not said["train"]:
        raise InputError("Nothing is chosen to train on; let at least one animal train.")
    if with_test:
        return {"source": "folder", "root": root, **said, "test": list(split.get("test", ()))}
    return {"root": root, **said}


def _slot(entries: dict[str, Any], slot: str) -> Any:
    return entries[slot] if slot in entries else entries["data"][slot]


def _put(entries: dict[str, Any], slot: str, data: dict[str, Any]) -> None:
    if slot in CONTRASTS:
        entries["data"][slot] = data
    else:
        entries[slot] = data


def surrogate_words(parameters: SurrogateParameters) -> str | dict[str, Any]:
    """Parameters of surrogates as recipes say them: a preset, and what differs from it."""
    name, changes = difference(parameters)
    return {"preset": name, **nested(changes)} if changes else name


def starts(recipe: AnyRecipe) -> list[tuple[str, str]]:
    """Title and name of each model that a run may begin with; of runs, their folders."""
    models = [
        (f"{card.name} ({card.contrast or ', '.join(card.looks)})", card.name)
        for card in available()
        if not Start.of(card.name, card).misfit(recipe)
    ]
    runs = [
        (f"Run '{run.recipe.name}', step {run.step:,}", str(run.folder))
        for run in find_runs()
        # one that is finished is among the models, but a translator without its discriminator
        if run.step and not (run.finished and recipe.task != "translation")
        if not Start.of(run.folder.name, run.recipe).misfit(recipe)
    ]
    return models + runs


def free_name(name: str) -> str:
    """The name, with a number if a model or a run has it already."""
    taken = {card.name for card in available()}
    return numbered(name, lambda tried: tried in taken or (runs_folder() / tried).exists())
