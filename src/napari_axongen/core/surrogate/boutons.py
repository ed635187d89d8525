"""Boutons: on the axon (en passant), or at the end of a short stalk (terminal)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from . import compiling
from .axons import Axons, Ints
from .parameters import BoutonParameters
from .random import Draws, Floats
from .walks import directions, fine


@dataclass
class Boutons:
    """Boutons of a batch in slots (B, N).

    Attributes
    ----------
    there
        (B, N): whether a slot is filled.
    centre, foot, control
        (B, N, 2): rows and columns in px; where the stalk begins, and the point towards
        which it does.
    heading
        (B, N): of the axon there, in turns.
    radius, elongation, brightness
        (B, N).
    terminal
        (B, N).
    axon, branch
        (B, N): slots in `Axons`.
    stalk
        (B, N): coefficient of the axon at the foot.
    draws
        Random numbers of the boutons, row ``image * N + bouton``.
    missing
        (B,): boutons for which no room was found.
    """

    there: NDArray[np.bool_]
    centre: Floats
    foot: Floats
    control: Floats
    heading: Floats
    radius: Floats
    elongation: Floats
    brightness: Floats
    terminal: NDArray[np.bool_]
    axon: Ints
    branch: Ints
    stalk: Floats
    draws: Draws
    missing: Ints


def draw_boutons(
    draws: Draws,
    parameters: BoutonParameters,
    axons: Axons,
    visible: Callable[[Floats], NDArray[np.bool_]],
) -> Boutons:
    """Put boutons on axons, farther apart than the least distance.

    Twice as many places as boutons are tried, and sixteen more; crowded parameters give fewer.

    Parameters
    ----------
    draws
        Random numbers of the images.
    visible
        Tells of centres (B, N, 2) whether they may be used, (B, N).
    """
    wanted = draws.parameter(parameters, "count").astype(np.int64)
    if not axons.points.size:
        wanted[:] = 0  # nothing to sit on
    tries = np.where(wanted > 0, 2 * wanted + 16, 0)
    images, most = len(draws), int(tries.max())
    by_try = draws.children("bouton", most)

    def of(name: str) -> Floats:
        return fine(by_try.parameter(parameters, name).reshape(images, most))

    # any point outside gaps but the ends of the branches
    j, p = axons.points.shape[2:4]
    place = np.arange(p)
    usable = (axons.gap == 1) & (place > 0) & (place + 1 < axons.count[..., None])
    usable = usable.reshape(images, -1)
    total = usable.sum(1)
    good = (np.arange(most) < tries[:, None]) & (total > 0)[:, None]
    chance, kind, turn, side, down, right = np.moveaxis(
        by_try.uniform("bouton", 6).reshape(images, most, 6), -1, 0
    )
    number = np.floor(chance * total[:, None]).astype(np.int64)
    number += (total.cumsum() - total)[:, None]  # counted from the first of the first image
    found, some = np.zeros((images, most), dtype=np.int64), total > 0
    found[some] = np.flatnonzero(usable)[number[some]] % max(usable.shape[1], 1)
    at = (np.arange(images)[:, None], found // (j * p), found // p % j, found % p)
    foot, heading = axons.points[at], axons.headings[(*at[:3], np.minimum(at[3], p - 2))]
    radius, stalk = of("radius"), of("stalk_length")
    terminal = kind < draws.parameter(parameters, "terminal")[:, None]
    # at least two radii away from the line of the axon: that far they do not touch
    least = np.arcsin(np.minimum(2 / stalk, 1)) / (2 * math.pi)
    angle = least + (0.5 - 2 * least) * turn
    away = directions(heading + np.where(side < 0.5, angle, -angle))
    centre = np.where(terminal[..., None], fine(foot + (radius * stalk)[..., None] * away), foot)
    good &= visible(centre)
    there = _apart(centre, good, draws.parameter(parameters, "min_distance"))
    there &= there.cumsum(1) <= wanted[:, None]
    return Boutons(
        there,
        centre,
        foot,
        fine(foot + (centre - foot) * np.stack((down, right), axis=-1)),
        heading,
        radius,
        np.where(terminal, 1.0, of("elongation")),
        of("brightness"),
        terminal,
        at[1],
        at[2],
        axons.brightness[at],
        by_try,
        wanted - there.sum(1),
    )


def _apart(centre: Floats, good: NDArray[np.bool_], distance: Floats) -> NDArray[np.bool_]:
    """Keep each place that is farther than a distance from all kept before it, (B, N).

    One by one, as the original chooses; near ones are found beforehand by a tree.
    """
    kept = good.copy()
    loops = compiling.kernels()
    if loops:
        loops.keep_apart(centre, distance, kept)
        return kept
    for image in range(len(centre)):
        if distance[image] <= 0 or not good[image].any():
            continue
        place = np.flatnonzero(good[image])
        near = cKDTree(centre[image, place]).query_pairs(distance[image], output_type="ndarray")
        for first, second in near[np.lexsort(near.T[::-1])]:
            if kept[image, place[first]]:
                kept[image, place[second]] = False
    return kept
