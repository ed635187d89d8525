"""Model cards and where models are kept. Listing them reads headers and never imports torch."""

from __future__ import annotations

from .card import Card
from .importing import import_checkpoint
from .store import (
    available,
    export_model,
    find_model,
    import_model,
    load_card,
    load_network,
    save_model,
    user_folder,
)

__all__ = [
    "Card",
    "available",
    "export_model",
    "find_model",
    "import_checkpoint",
    "import_model",
    "load_card",
    "load_network",
    "save_model",
    "user_folder",
]
