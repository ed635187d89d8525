"""Which animals train, which validate, and which test: whole animals, never parts of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import numpy as np

from napari_axongen.core.errors import InputError

PARTS = ("train", "val", "test")

Split: TypeAlias = dict[str, list[str]]
"""Animals of each part that has any, in the order of `PARTS`."""

_ORDERS = 1000  # random orders of the animals that are tried
_AS_GOOD = 0.02  # shares this much further off than the best ones leave the choice to the seed


def split_animals(
    pixels: Mapping[str, int], fractions: tuple[float, float, float], seed: int
) -> Split:
    """Divide animals so that each part has its share of the pixels, as well as whole animals can.

    The animals are put into random orders, and each order is cut where the parts come closest to
    their shares. Of 1,000 orders the first is taken whose largest deviation is within 0.02 of the
    smallest one found. So the seed chooses among the good divisions.

    Parameters
    ----------
    pixels
        Size of each animal's images.
    fractions
        Shares of train, val and test, which sum to 1. A part of share 0 gets nothing, every other
        one at least one animal.
    seed
        Of the orders.

    Raises
    ------
    InputError
        There are fewer animals than parts.
    """
    wanted = [(part, share) for part, share in zip(PARTS, fractions, strict=True) if share > 0]
    animals = sorted(pixels)
    if len(animals) < len(wanted):
        raise InputError(
            f"{len(wanted)} parts ({', '.join(part for part, _ in wanted)}) are to have an animal "
            f"each, but there are only {len(animals)} ({', '.join(animals)}); give a part the "
            "share 0."
        )
    sizes = np.array([max(1, pixels[animal]) for animal in animals], dtype=np.float64)
    sizes /= sizes.sum()
    shares = np.array([share for _, share in wanted])
    rng = np.random.default_rng(seed)
    tried = []
    for _ in range(_ORDERS):
        order = rng.permutation(len(animals))
        cuts = _cuts(np.cumsum(sizes[order]), np.cumsum(shares))
        found = np.add.reduceat(sizes[order], [0, *cuts])
        tried.append((float(np.abs(found - shares).max()), order, cuts))
    best = min(deviation for deviation, _, _ in tried)
    _, order, cuts = next(one for one in tried if one[0] <= best + _AS_GOOD)
    return {
        part: sorted(animals[index] for index in indices)
        for (part, _), indices in zip(wanted, np.split(order, cuts), strict=True)
    }


def _cuts(reached: np.ndarray, wanted: np.ndarray) -> list[int]:
    """Where to cut an order, so that the sums up to there are nearest to those that are wanted.

    Each part keeps one animal at least.
    """
    cuts: list[int] = []
    for index, goal in enumerate(wanted[:-1]):
        first = cuts[-1] + 1 if cuts else 1
        last = len(reached) - (len(wanted) - 1 - index)
        near = np.abs(reached[first - 1 : last] - goal)
        cuts.append(first + int(near.argmin()))
    return cuts


def split_by_name(animals: Collection[str], named: Mapping[str, Collection[str]]) -> Split:
    """Divide animals by their names.

    Parameters
    ----------
    animals
        All there are.
    named
        Animals of ``train``, ``val`` and ``test``. With none for ``train``, all that the others do
        not name are for training; else these are in no part.

    Raises
    ------
    InputError
        An animal that is not there, or that is named twice, or none is left for training.
    """
    seen: dict[str, str] = {}
    for part, names in named.items():
        for name in names:
            if name not in animals:
                raise InputError(
                    f"'{name}' is to be in {part}, but the animals are "
                    f"{', '.join(sorted(animals))}."
                )
            if seen.setdefault(name, part) != part:
                raise InputError(
                    f"'{name}' is to be in {seen[name]} and in {part}; an animal is in one part."
                )
    split = {part: sorted(set(named.get(part, ()))) for part in PARTS}
    if not split["train"]:
        split["train"] = sorted(set(animals) - set(seen))
    if not split["train"]:
        raise InputError("No animal is left to train on; name fewer for val and test.")
    return {part: names for part, names in split.items() if names}
