"""How fast a network is on this machine: timed once, on a small tile."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from napari_axongen.core.events import Progress, Steps, quiet
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import TranslateParameters

if TYPE_CHECKING:
    from napari_axongen.core.device import Device
    from napari_axongen.core.networks import TileExactNetwork

_TILE = {"cpu": 128}  # working pixels of a side of the tile that is timed
_WIDE = 512  # elsewhere: a small one would time the way to the device
_TIMED = 4  # calls, the first of which is slower
_LOOKED_AT = 4  # pixels of an image, along a side, per pixel of the look that is timed

_paces: dict[tuple[str, ...], Pace] = {}
"""What was timed, by model and device."""


@dataclass(frozen=True)
class Pace:
    """How fast a network is on a device.

    Attributes
    ----------
    card
        Of its model.
    seconds
        Of a call, by working pixel.
    seconds_around
        Of a segmenter: by pixel of an image that is looked at, of all but the call.
    stride, receptive_radius, bytes_per_pixel
        Of the network: they tell its tiles.
    conditional
        Whether a denoiser can be told something.
    """

    card: Card
    seconds: float
    seconds_around: float
    stride: int
    receptive_radius: int
    bytes_per_pixel: int
    conditional: bool = True

    def pixels(self, shape: tuple[int, ...], scale: float, memory: int) -> int:
        """Working pixels of a plane that go through the network, margins of tiles included."""
        from napari_axongen.core.tiling import Grid, tile_side

        rows, columns = shape[-2:]
        side = tile_side(cast("TileExactNetwork", self), (rows, columns), scale, memory)
        total = 1
        for length in (rows, columns):
            cut = Grid(length, scale, self.receptive_radius, self.stride).cut(side)
            total *= sum(span.window.stop - span.window.start for span in cut)
        return total


def pace_steps(card: Card, device: Device) -> Steps[Pace]:
    """Pace of a model on a device; timed once.

    Yields
    ------
    Progress between two calls of the network.
    """
    key = card.name, str(card.network), str(device)
    if key not in _paces:
        side = _TILE.get(device.torch.type, _WIDE)
        network, calls = _calls(card, device, side)
        seconds = (yield from _timed(calls)) / side**2
        around = 0.0
        if card.task == "segmentation":
            wide = _LOOKED_AT * side
            look = yield from _timed(_looks(network, device, wide))
            around = max(0.0, look - seconds * side**2) / wide**2
        sizes = network.stride, network.receptive_radius, network.bytes_per_pixel
        conditional = getattr(network, "conditional", True)
        _paces[key] = Pace(card, seconds, around, *sizes, conditional)
    return replace(_paces[key], card=card)


def _timed(steps: Steps[None]) -> Steps[float]:
    """Mean seconds from event to event of the last calls of a network, an event each."""
    spent, mark = [], time.perf_counter()
    for _ in steps:
        spent.append(time.perf_counter() - mark)
        yield Progress(0, 1)
        mark = time.perf_counter()
    return float(np.mean(spent[1 - _TIMED :]))


def _calls(card: Card, device: Device, side: int) -> tuple[TileExactNetwork, Steps[None]]:
    """The network of a model, and calls of it on noise."""
    from napari_axongen.core.methods import make_plane
    from napari_axongen.core.models.store import load_network
    from napari_axongen.core.networks import fold_batch_norm
    from napari_axongen.core.planning import Plan
    from napari_axongen.core.rendering import Source
    from napari_axongen.core.tiling import predict
    from napari_axongen.core.translators import load_translator

    noise = _noise(side)

    def grey(rows: slice, columns: slice) -> Any:
        return noise[rows, columns]

    def classes(rows: slice, columns: slice) -> Any:
        return (127 * (noise[rows, columns] > 0.5)).astype(np.uint8)

    if card.task == "segmentation":
        network = fold_batch_norm(load_network(card.name, device)[0])
        calls = (predict(network, grey, _drop, (side, side), device=device) for _ in range(_TIMED))
        return network, _one_by_one(calls)
    model = load_translator(card.name, device, card.task)
    source = Source((side, side), classes, None)
    by_diffusion = card.task == "diffusion"
    parameters = TranslateParameters(
        method="ddpm" if by_diffusion else "cgan", steps=_TIMED, guidance=1
    )
    target = next(iter(card.looks)) if by_diffusion else card.contrast
    plan = Plan(model, 1.0, None, None, target, device, parameters)
    calls = (make_plane(plan, source, _drop, seed=0) for _ in range(1 if by_diffusion else _TIMED))
    return model.network, _one_by_one(calls)


def _looks(network: TileExactNetwork, device: Device, wide: int) -> Steps[None]:
    """What `core.matching` does to look at an image, on noise."""
    from napari_axongen.core.matching import judged
    from napari_axongen.core.segmentation import class_probabilities
    from napari_axongen.core.tiling import predict

    noise, scale = _noise(wide), 1 / _LOOKED_AT
    made = np.empty((3, wide, wide), np.float32)

    def write(rows: slice, columns: slice, values: Any) -> None:
        made[:2, rows, columns] = values

    for _ in range(_TIMED):
        yield from quiet(
            predict(
                network,
                lambda rows, columns: noise[rows, columns],
                write,
                (wide, wide),
                scale=scale,
                device=device,
                activation=class_probabilities,
            )
        )
        judged(made)
        yield Progress(0, 1)


def _one_by_one(calls: Iterable[Steps[None]]) -> Steps[None]:
    for steps in calls:
        yield from steps


def _noise(side: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).random((side, side), dtype=np.float32)


def _drop(rows: slice, columns: slice, values: Any) -> None:
    """Write nothing."""
