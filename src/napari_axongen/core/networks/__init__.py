"""Torch modules and nothing else. `build` makes one from the ``network`` entry of a card or recipe.

Every network here is *tile-exact*: convolutions, resampling by fixed factors and per-pixel
normalisation only, so that its output at a pixel depends on the input within
``receptive_radius`` pixels, and tiles whose corners lie on multiples of ``stride`` reproduce the
whole image. `ClassicGenerator` and `ClassicDenoiser` are so only because they work on each square
of ``fixed_tile`` by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .base import TileExactNetwork, fold_batch_norm
from .classic import ClassicDiscriminator, ClassicGenerator
from .classic_denoiser import ClassicDenoiser
from .denoiser import DOMAINS, Denoiser, DiffusionNetwork
from .nano import NanoUNet
from .translator import Translator
from .unet import UNet

NETWORKS: dict[str, type[TileExactNetwork]] = {
    "classic": ClassicGenerator,
    "classic-denoiser": ClassicDenoiser,
    "denoiser": Denoiser,
    "nano": NanoUNet,
    "translator": Translator,
    "unet": UNet,
}


def build(network: Mapping[str, Any]) -> TileExactNetwork:
    """Make a network from ``{"name": ..., constructor arguments}``.

    Raises
    ------
    ValueError
        Unknown name, or arguments that the network does not take.
    """
    arguments = dict(network)
    name = arguments.pop("name", None)
    if name not in NETWORKS:
        raise ValueError(f"network '{name}' is unknown; known: {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"network '{name}' does not take these arguments: {error}") from error


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether `build` makes the same network of both; what they leave out is as by default."""
    return _whole(one) == _whole(other)


def _whole(network: Mapping[str, Any]) -> dict[str, Any]:
    arguments = dict(network)
    name = arguments.pop("name", None)
    if name not in NETWORKS:
        return {**network}
    usual = inspect.signature(NETWORKS[name]).parameters.items()
    left_out = {key: each.default for key, each in usual if each.default is not each.empty}
    whole = {**left_out, **arguments, "name": name}
    return {key: list(each) if isinstance(each, tuple) else each for key, each in whole.items()}


__all__ = [
    "DOMAINS",
    "NETWORKS",
    "ClassicDenoiser",
    "ClassicDiscriminator",
    "ClassicGenerator",
    "Denoiser",
    "DiffusionNetwork",
    "NanoUNet",
    "TileExactNetwork",
    "Translator",
    "UNet",
    "build",
    "fold_batch_norm",
    "same",
]
