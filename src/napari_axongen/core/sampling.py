"""One plane by diffusion: from noise, or from an image, to an image, step by step, tile by tile.

The whole plane is at one level of noise at a time. Each step sends it through the network, which is
tile-exact, in tiles with margins of its receptive radius, so the result is that of the plane in one
piece, to rounding: nothing has to be fused or blended. What is kept between steps are a few numbers
a working pixel, on disk where they are many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .baselines import match_greys
from .conditioning import (
    CLASS_COUNT,
    SIGMAS,
    STRUCTURE_RADIUS,
    condition,
    gradients,
    to_output,
    white_noise,
)
from .device import Device
from .diffusion import Leg, Route
from .events import Notice, Progress, Steps
from .models.card import Looks
from .networks import DOMAINS, DiffusionNetwork
from .rendering import Source, likeliest, ranks_of, samples_of
from .room import IN_MEMORY, on_disk
from .tiling import (
    Grid,
    Span,
    Write,
    blocks,
    distance,
    is_out_of_memory,
    load,
    resample,
    smaller,
    tile_side,
)

_BLOCK = 1024  # pixels of a side that are prepared at a time, of the image or at work


def sample_plane(
    network: DiffusionNetwork,
    source: Source,
    write: Write,
    *,
    route: Route,
    looks: Looks,
    scale: float,
    seed: int,
    plane: int,
    device: Device,
    memory: int,
    tile: int | None = None,
    first: tuple[int, int] = (0, 0),
) -> Steps[None]:
    """Make one plane.

    Parameters
    ----------
    network
        A denoiser.
    source
        What it is shown; may be nothing, if the route begins with noise.
    write
        Called with row and column slices and the (1, h, w) image there, -1..1, after each step of
        each tile: as far as it can be seen by then.
    route
        What is done.
    looks
        Of the target; of a route that begins with ``matched``.
    scale
        Working pixels per pixel of the plane.
    seed, plane
        Of the noise.
    device, memory, tile, first
        As of `tiling.predict`.

    Yields
    ------
    Progress by tile and step. A Notice when the device ran out of memory and what was done.
    """
    # where nothing is told there is nothing to exaggerate
    told = network.conditional and (source.classes is not None or route.structure)
    guidance, key = route.guidance if told else 1.0, (seed, plane)
    state = _State.of(network, source, scale, route.structure, device)
    yield from _prepare(state, source, route, looks, network, device, key)
    network = network.to(device.torch)
    side = tile or tile_side(network, source.shape, scale, memory)
    total, done = sum(len(leg.way) for leg in route.legs), 0
    for leg in route.legs:
        for index in range(len(leg.way)):
            while True:
                tiles = state.tiles(network, side, first)
                try:
                    for count, spans in enumerate(tiles):
                        now = Progress(done * len(tiles) + count, total * len(tiles), "steps")
                        yield from _step(network, state, spans, leg, index, guidance, key, now)
                        write(spans[0].core, spans[1].core, state.image(spans, network))
                        yield Progress(done * len(tiles) + count + 1, total * len(tiles), "steps")
                    break
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
                # the step is taken anew: what it starts from is still there
                side, device = smaller(side, device, source.shape)
                network = network.to(device.torch)
                yield Notice(
                    f"Out of memory; going on with tiles of {side} px on {device}.", "warning"
                )
            state.advance()
            done += 1


def to_unit(image: Tensor, network: DiffusionNetwork) -> Tensor:
    """An image -1..1 as the network counts it: its training images have mean 0 and deviation 1."""
    return (image - network.centre) / network.spread


def from_unit(x: Tensor, network: DiffusionNetwork) -> Tensor:
    """The inverse of `to_unit`, within -1..1."""
    return (x * network.spread + network.centre).clamp(-1, 1)


# ---------------------------------------------------------------- what is kept of a plane


@dataclass
class _State:
    """A plane between two steps, at the working scale.

    Its arrays (H, W) reach to a multiple of the network's stride; what lies beyond the image is
    part of it, with noise as elsewhere.

    Attributes
    ----------
    shape, lengths, scale
        Rows and columns of the plane, and at the working scale.
    classes, structure
        What is told: indices, and ranks (n, H, W).
    x, following
        At this level of noise, and at the next.
    before, estimate
        The image that the network saw at the last step, and at this one.
    """

    shape: tuple[int, int]
    lengths: tuple[int, int]
    scale: float
    classes: Tensor | None
    structure: Tensor | None
    x: Tensor
    following: Tensor
    before: Tensor
    estimate: Tensor

    @classmethod
    def of(
        cls,
        network: DiffusionNetwork,
        source: Source,
        scale: float,
        structure: bool,
        device: Device,
    ) -> _State:
        """Room for a plane."""

        def room_for(count: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
            return _room((*count, *room), dtype, device)

        height, width = (Grid(length, scale, 0, 1).working_length for length in source.shape)
        room = tuple(math.ceil(n / network.stride) * network.stride for n in (height, width))
        return cls(
            source.shape,
            (height, width),
            scale,
            None if source.classes is None else room_for((), torch.uint8),
            room_for((len(SIGMAS),), torch.float16) if structure else None,
            *(room_for(()) for _ in range(4)),
        )

    def tiles(
        self, network: DiffusionNetwork, side: int, first: tuple[int, int]
    ) -> list[tuple[Span, Span]]:
        """Tiles with cores of at most ``side`` px, the one at ``first`` first."""
        rows, columns = (
            [
                _to_the_end(span, length, room)
                for span in Grid(native, self.scale, network.receptive_radius, network.stride).cut(
                    side
                )
            ]
            for native, length, room in zip(self.shape, self.lengths, self.x.shape, strict=True)
        )
        return sorted(product(rows, columns), key=lambda spans: distance(spans, first))

    def told(self, window: tuple[slice, slice], device: torch.device, ignored: bool) -> Tensor:
        """Condition (1, n, h, w) of a window, its noisy image last; or as if there were nothing."""
        x = self.x[window][None, None].to(device)
        classes = structure = None
        if self.classes is not None and not ignored:
            classes = self.classes[window][None].to(device)
        if self.structure is not None and not ignored:
            structure = self.structure[:, *window][None].to(x)
        return condition(classes, structure, x)

    def image(self, spans: tuple[Span, Span], network: DiffusionNetwork) -> npt.NDArray[np.float32]:
        """What is seen of a tile's core (1, h, w), -1..1."""
        row, column = spans
        part = self.estimate[row.output, column.output]
        made = resample(
            from_unit(part, network)[None],
            (row.output, row.core),
            (column.output, column.core),
            1 / self.scale,
            self.lengths,
        )
        result: npt.NDArray[np.float32] = made.cpu().numpy()
        return result

    def advance(self) -> None:
        """Go on to the next step."""
        self.x, self.following = self.following, self.x
        self.before, self.estimate = self.estimate, self.before


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: Device) -> Tensor:
    """Room for numbers: where they are few on the device, else in a file without a name."""
    if math.prod(shape) * dtype.itemsize <= IN_MEMORY:
        return torch.zeros(shape, dtype=dtype, device=device.torch)
    return torch.from_numpy(on_disk(shape, str(dtype).removeprefix("torch.")))


def _to_the_end(span: Span, length: int, room: int) -> Span:
    """A span whose window, and if it is the last its output, reaches beyond the image."""
    last = span.output.stop == length
    stop = room if span.window.stop == length else span.window.stop
    return Span(
        span.core,
        slice(span.output.start, room if last else span.output.stop),
        slice(span.window.start, stop),
    )


# ---------------------------------------------------------------- the beginning, and a step


@torch.inference_mode()
def _prepare(
    state: _State,
    source: Source,
    route: Route,
    looks: Looks,
    network: DiffusionNetwork,
    device: Device,
    key: tuple[int, int],
) -> Steps[None]:
    """Fill in what is told of a plane and what it begins with, block by block."""
    way, scale = route.legs[0].way, state.scale
    ranks = sample = None
    if state.structure is not None and source.grey is not None:
        ranks = ranks_of(source.grey, source.shape, scale, device)
    if route.begins_with == "matched" and source.grey is not None:
        windows = samples_of(source.grey, source.shape, scale, device)
        sample = np.concatenate([window.cpu().numpy().ravel() for window in windows])
    side = max(1, round(_BLOCK * min(scale, 1)))
    for block in product(*(blocks(length, side) for length in state.x.shape)):
        x = torch.zeros([span.stop - span.start for span in block])
        if source.planes:
            wide, places = zip(
                *(
                    _surrounded(span, length)
                    for span, length in zip(block, state.lengths, strict=True)
                ),
                strict=True,
            )
            window = load(source.read, wide[0], wide[1], scale, source.shape, device)

            def within(values: Tensor, places: Any = places) -> Tensor:
                return values[..., places[0], :][..., places[1]]

            if state.classes is not None:
                state.classes[block] = within(likeliest(window[:, :CLASS_COUNT])[0])
            if state.structure is not None and ranks is not None:
                structure = ranks.apply(gradients(window[:, -1:]))[0]
                state.structure[:, *block] = within(structure)
            if route.begins_with != "noise":
                grey = within(window[0, -1])
                if sample is not None:
                    grey = _as_target(grey, sample, looks, route.inverted)
                x = way.image * to_unit(to_output(grey), network)
        if way.noise:
            x = x + way.noise * white_noise(*key, block[0], block[1])[0, 0].to(x.device)
        state.x[block] = x
        yield Progress(0, 1, "steps")


def _surrounded(span: slice, length: int) -> tuple[slice, Tensor]:
    """What is read for a span, as far as there is an image, and where in that its pixels lie."""
    places = torch.arange(span.start, span.stop).clamp_max(length - 1)
    start = max(0, int(places[0]) - STRUCTURE_RADIUS)
    return slice(start, min(int(places[-1]) + 1 + STRUCTURE_RADIUS, length)), places - start


def _as_target(
    grey: Tensor, sample: npt.NDArray[np.float32], looks: Looks, inverted: bool
) -> Tensor:
    """Grey values of the target's images, of the same ranks or, inverted, of the opposite ones."""
    sign = -1 if inverted else 1
    quantiles = np.asarray(looks.quantiles)
    return torch.from_numpy(match_greys(sign * grey.cpu().numpy(), quantiles, sign * sample))


@torch.inference_mode()
def _step(
    network: DiffusionNetwork,
    state: _State,
    spans: tuple[Span, Span],
    leg: Leg,
    index: int,
    guidance: float,
    key: tuple[int, int],
    now: Progress,
) -> Steps[None]:
    """Take one tile from its level of noise to the next; yields ``now`` between two calls."""
    way, (row, column) = leg.way, spans
    device = next(network.parameters()).device
    level = torch.tensor([way.told[index]], device=device)
    domain = torch.tensor([DOMAINS.index(leg.domain)], device=device)
    inner = tuple(
        slice(span.output.start - span.window.start, span.output.stop - span.window.start)
        for span in spans
    )

    def call(ignored: bool) -> Tensor:
        x = state.told((row.window, column.window), device, ignored)
        x = x.contiguous(memory_format=torch.channels_last)
        found: Tensor = network(x, level, domain)[0, 0][inner]
        return found

    made = call(ignored=guidance == 0)
    if guidance not in (0, 1):
        yield now
        without = call(ignored=True)
        made = without + guidance * (made - without)
    output = row.output, column.output
    x, before = (array[output].to(device) for array in (state.x, state.before))
    noise = None
    if way.sampler.noisy:
        noise = white_noise(*key, *output, step=index + 1)[0, 0].to(device)
    following = way.sampler.step(made, x, index, noise, before if index else None)
    state.following[output] = following
    state.estimate[output] = way.sampler.estimate(made, x, index)
