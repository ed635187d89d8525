"""The models that translate: which there are, which suits, and at what scale it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from .device import Device
from .diffusion import process
from .errors import InputError
from .events import Notice
from .matching import snap
from .models.card import Card
from .models.store import RUN_MODEL, available, load_network
from .networks import DiffusionNetwork, TileExactNetwork, fold_batch_norm

_LARGEST_SCALE = 8.0
_USUAL_SCALES = (0.5, 1.5)  # beyond them it is said what that does to the result


Task: TypeAlias = Literal["translation", "diffusion"]


@dataclass(frozen=True)
class Translator:
    """A generator or a denoiser, ready to run."""

    network: TileExactNetwork
    card: Card
    sha256: str

    @property
    def samplers(self) -> tuple[str, ...]:
        """Those that suit it, if it is a denoiser."""
        return process(cast(DiffusionNetwork, self.network).objective).samplers

    def most_steps(self, strength: float) -> int | None:
        """Of a denoiser: how many steps there are from a strength on; None: any number."""
        return process(cast(DiffusionNetwork, self.network).objective).most_steps(strength)

    @property
    def conditional(self) -> bool:
        """Whether it can be told of mask and structure."""
        return not isinstance(self.network, DiffusionNetwork) or self.network.conditional


def task_of(method: str) -> Task:
    """What a model is for that a method of `parameters.TranslateParameters` needs."""
    return "translation" if method == "cgan" else "diffusion"


def model_file(model: str) -> str | Path:
    """A model's name or file; of the folder of a training run, the model in it."""
    run = Path(model) / RUN_MODEL
    return run if run.is_file() else model


def load_translator(model: str, device: Device, task: Task = "translation") -> Translator:
    """Load a model by name, file or folder of a training run.

    Parameters
    ----------
    model
        Which.
    device
        Where it shall compute.
    task
        ``translation``: a generator; ``diffusion``: a denoiser.

    Raises
    ------
    InputError
        As `models.store.load_network`, or it is another kind of model.
    """
    network, card, sha256 = load_network(model_file(model), device)
    if card.task != task:
        suits = ", ".join(card.name for card in available() if card.task == task) or "none there is"
        raise InputError(f"Model '{model}' is for {card.task}; for {task}, choose {suits}.")
    return Translator(fold_batch_norm(network), card, sha256)


def check_target(card: Card, target: str) -> None:
    """Refuse a model that makes images of another contrast."""
    made = _made(card) or (target if card.task == "translation" else "no",)
    if target not in made:
        raise InputError(
            f"Model '{card.name}' makes {', '.join(made)} images and none of {target} contrast; "
            "choose another target or model."
        )


def _made(card: Card) -> tuple[str, ...]:
    """Contrasts that a model makes, as far as its card says."""
    if card.task == "diffusion":
        return tuple(card.looks)
    return (card.contrast,) if card.contrast else ()


def translators(task: Task = "translation") -> list[Card]:
    """Cards of the models for a task that are installed, the shipped ones first.

    Raises
    ------
    InputError
        There is none.
    """
    cards = [card for card in available() if card.task == task]
    if not cards:
        raise InputError(
            f"No model for {task} is installed; import one with 'axongen models import', or train "
            "one with 'axongen train'."
        )
    return cards


def translator_from(contrast: str | None) -> str:
    """Name of the first translator for images of a contrast; None: of any.

    Raises
    ------
    InputError
        There is none.
    """
    cards = translators()
    for card in cards:
        if contrast in (None, card.source):
            return card.name
    raise InputError(
        f"The image is of {contrast} contrast, for which no translator is installed "
        f"({_names(cards)}); import one, or name the model to use."
    )


def translator_to(contrast: str, task: Task = "translation") -> str:
    """Name of the first model for a task that makes images of a contrast.

    Raises
    ------
    InputError
        There is none.
    """
    cards = translators(task)
    for card in cards:
        if contrast in _made(card):
            return card.name
    raise InputError(
        f"No model for {task} that makes {contrast} images is installed ({_names(cards)}); import "
        "one."
    )


def working_scale(card: Card, diameter: float | None, how: str) -> tuple[float, Notice]:
    """Pixels of a translator per image pixel, and a sentence on it.

    Parameters
    ----------
    card
        Of the translator.
    diameter
        Median axon diameter in the image, px; None: unknown.
    how
        Where that is known from.
    """
    if not card.axon_diameter or diameter is None:
        return 1.0, Notice(f"The size of the axons is unknown: {card.name} works at scale 1.")
    wanted = card.axon_diameter / diameter
    scale = snap(min(wanted, _LARGEST_SCALE))
    text = (
        f"Axons of {diameter:.3g} px ({how}) are brought to the {card.axon_diameter:g} px that "
        f"{card.name} knows (scale {scale:.3g}), and the result back to the image's pixels."
    )
    if scale < _USUAL_SCALES[0]:
        text += f" The image is finer than that: detail below {2 / scale:.2g} px is not rendered."
    if scale > _USUAL_SCALES[1]:
        text += " The image is coarser than that: less is rendered than the model could."
    if wanted > _LARGEST_SCALE:
        return scale, Notice(f"{text} A larger scale is not used.", "warning")
    return scale, Notice(text)


def _names(cards: list[Card]) -> str:
    return ", ".join(card.name for card in cards)
