"""What a run may begin with: a model, or what another run has learnt so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_axongen.core.models.card import Card
from napari_axongen.core.models.store import RUN_MODEL, load_card

from .recipe import AnyRecipe
from .runs import read_run

_KINDS = {"segmentation": "segmenter", "translation": "translator", "diffusion": "denoiser"}
_SAID = {"classes", "source", "contrast", "pixel_size", "axon_diameter"}
_SCALES = {"segmentation": "pixel_size"}  # of the others it is the diameter of axons


@dataclass(frozen=True)
class Start:
    """A trained network, as its card or the recipe of its run describes it.

    Attributes
    ----------
    name
        Of the model, or the folder of the run, as a recipe says it.
    task, network
        What it does, and by what.
    classes
        Of a segmenter: what it finds.
    source, contrast
        Of a translator: of which microscope's images it makes which; source None: of any.
    scale
        Entry of a recipe for the same task.
    """

    name: str
    task: str
    network: Mapping[str, Any]
    classes: Sequence[str]
    source: str | None
    contrast: str | None
    scale: Mapping[str, float | None]

    @classmethod
    def of(cls, name: str, described: Card | AnyRecipe) -> Start:
        """The model of a card, or that of a run by its recipe."""
        entries = described.model_dump(include=_SAID)
        task = described.task
        size = _SCALES.get(task, "axon_diameter")
        return cls(
            name,
            task,
            described.network if isinstance(described, Card) else described.full_network,
            entries["classes"] if task == "segmentation" else (),
            entries["source"] if task == "translation" else None,
            entries["contrast"] if task == "translation" else None,
            {size: entries[size]},
        )

    def misfit(self, recipe: AnyRecipe, strict: bool = True) -> str | None:
        """Why a recipe cannot begin with it, and what to do; None: it can.

        Parameters
        ----------
        recipe
            Whose network is still to become this one.
        strict
            Whether classes and the kind of network count. Without, weights may also be taken over
            from what finds something else.
        """
        wanted = Start.of(recipe.name, recipe)
        if self.task != wanted.task:
            return f"'{self.name}' is for {self.task}; {_instead(_KINDS[wanted.task])}"
        if self.contrast != wanted.contrast or self.source not in (None, wanted.source):
            theirs, ours = (
                f"makes {each.contrast} images" + (f" of {each.source} ones" if each.source else "")
                for each in (self, wanted)
            )
            return f"'{self.name}' {theirs}; {_instead(f'translator that {ours}')}"
        if strict and self.classes != wanted.classes:
            finds, ours = (", ".join(each.classes[1:]) for each in (self, wanted))
            return f"'{self.name}' finds {finds}; {_instead('model of ' + ours)}"
        kind, usual = (each.network.get("name") for each in (self, wanted))
        if strict and kind != usual:
            return f"'{self.name}' is a network '{kind}'; {_instead(f'{usual} network')}"
        return None


def _instead(what: str) -> str:
    return f"begin with a {what}, or with none."


def read_start(model: str) -> Start:
    """Read what a model or a run is; its weights are not read.

    Parameters
    ----------
    model
        Name or file of a model, or the folder of a run.

    Raises
    ------
    InputError
        There is no such model or run, or it cannot be read.
    """
    folder = Path(model)
    if not has_ended(folder):
        return Start.of(model, read_run(folder).recipe)
    return Start.of(model, load_card(folder if folder.is_dir() else model))


def has_ended(start: Path) -> bool:
    """Whether it is anything but the folder of a run that has made no model yet."""
    return not start.is_dir() or (start / RUN_MODEL).exists()
