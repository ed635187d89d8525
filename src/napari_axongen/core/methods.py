"""How a plane is made once it is planned: by the conditional GAN, or by diffusion."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from .conditioning import GREY_RANGE, to_output
from .diffusion import Process, Route, process, route
from .events import Steps
from .files import CLASS_VALUES
from .image import Image, normalised
from .networks import DiffusionNetwork
from .parameters import TranslateParameters
from .planning import Plan
from .rendering import Source, render_plane
from .sampling import sample_plane
from .tiling import Grid, Read, Window, Write, load

ROUND_TRIP = 256
"""Working pixels of a side of the part that is taken to noise and back."""


def shows_greys(parameters: TranslateParameters) -> bool:
    """Whether grey values of the source are needed to translate it, its mask apart."""
    if parameters.method == "generate":
        return False
    return parameters.condition != "mask" or parameters.method in ("sdedit", "ddib")


def make_plane(
    plan: Plan,
    source: Source,
    write: Write,
    *,
    seed: int,
    plane: int = 0,
    first: tuple[int, int] = (0, 0),
    part: Window | None = None,
) -> Steps[None]:
    """Make one plane by the method of the plan.

    Parameters
    ----------
    plan
        The model, the scale, the parameters but the seed.
    source, write, seed, plane, first
        As of `rendering.render_plane` and `sampling.sample_plane`.
    part
        Rows and columns that are wanted, of the conditional GAN; diffusion makes all.
    """
    if plan.parameters.method != "cgan":
        network = cast(DiffusionNetwork, plan.model.network)
        way = _route(plan, process(network.objective))
        return _sample(plan, source, write, way, plan.scale, seed, plane, first)
    return render_plane(
        plan.model.network,
        source,
        write,
        scale=plan.scale,
        seed=seed,
        variety=plan.parameters.variety,
        plane=plane,
        device=plan.device,
        memory=plan.parameters.memory,
        first=first,
        part=part,
    )


def round_trip(
    plan: Plan,
    image: Image,
    mask: Any,
    plane: tuple[int, ...],
    first: tuple[int, ...] | None,
) -> Steps[float]:
    """How well a part of an image comes back when it is taken to noise and back as what it is.

    Parameters
    ----------
    plan
        Of a translation by ``ddib``.
    image, mask, plane
        As of `translation.translate_steps`; the mask may be None.
    first
        Pixel around which the part lies; None: the middle.

    Returns
    -------
    Root mean square error, in units of the grey range (1st to 99th percentile)
    """
    network = cast(DiffusionNetwork, plan.model.network)
    grey = normalised(image, plane)
    parts = []
    for length, at in zip(image.plane_shape, (first or image.plane_shape)[-2:], strict=True):
        working = Grid(length, plan.scale, 0, 1).working_length
        middle = round(at * plan.scale) if first is not None else working // 2
        start = max(0, min(middle - ROUND_TRIP // 2, working - ROUND_TRIP))
        parts.append(slice(start, min(start + ROUND_TRIP, working)))

    def brought(read: Read) -> Any:
        return load(read, parts[0], parts[1], plan.scale, image.plane_shape, plan.device)[0].cpu()

    values = brought(grey)[0].numpy()
    classes = None
    if mask is not None and plan.parameters.condition != "structure":
        told = Source(image.plane_shape, lambda rows, columns: mask[(*plane, rows, columns)], None)
        shares = brought(told.read).numpy()
        classes = np.array(CLASS_VALUES, np.uint8)[shares.argmax(0)]
    made = np.empty(values.shape, np.float32)

    def write(rows: slice, columns: slice, part: Any) -> None:
        made[rows, columns] = part[0]

    there_and_back = _route(plan, process(network.objective), back_to=plan.source)
    source = Source(
        (values.shape[0], values.shape[1]),
        None if classes is None else lambda rows, columns: classes[rows, columns],
        lambda rows, columns: values[rows, columns],
    )
    seed = plan.parameters.seed
    yield from _sample(plan, source, write, there_and_back, 1.0, seed, 0, (0, 0))
    expected = to_output(torch.from_numpy(values)).numpy()
    low, high = GREY_RANGE
    return float(np.sqrt(np.mean((made - expected) ** 2))) * (high - low) / 2


def _route(plan: Plan, kind: Process, back_to: str | None = None) -> Route:
    parameters, method = plan.parameters, plan.parameters.method
    sampler = None if parameters.sampler == "auto" else parameters.sampler
    return route(
        kind,
        method,
        sampler,
        parameters.steps,
        parameters.strength,
        parameters.guidance,
        parameters.condition != "mask" and method != "generate",
        plan.source or "none",
        back_to or plan.target or "none",
    )


def _sample(
    plan: Plan,
    source: Source,
    write: Write,
    way: Route,
    scale: float,
    seed: int,
    plane: int,
    first: tuple[int, int],
) -> Steps[None]:
    return sample_plane(
        cast(DiffusionNetwork, plan.model.network),
        source,
        write,
        route=way,
        looks=plan.looks,
        scale=scale,
        seed=seed,
        plane=plane,
        device=plan.device,
        memory=plan.parameters.memory,
        first=first,
    )
