"""Images with their masks, in; training crops and prepared tiles, out."""

from __future__ import annotations

from .labelled import LabelledImage, from_arrays
from .layouts import find_pairs
from .sources import (
    data_folder,
    load_bids,
    load_dataset,
    make_fields,
    make_micrographs,
    split_by_animal,
)

__all__ = [
    "LabelledImage",
    "data_folder",
    "find_pairs",
    "from_arrays",
    "load_bids",
    "load_dataset",
    "make_fields",
    "make_micrographs",
    "split_by_animal",
]
