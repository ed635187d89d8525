"""Images with their masks, in; training crops, out."""

from __future__ import annotations

from .sources import LabelledImage, data_folder, load_bids, make_fields, split_by_animal

__all__ = ["LabelledImage", "data_folder", "load_bids", "make_fields", "split_by_animal"]
