"""Synthetic microscopy of axons, and the segmentation and measurement of myelinated fibres.

The verbs are loaded on first use: importing this package imports neither torch nor napari.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        evaluate,
        evaluate_tracing,
        generate,
        generate_series,
        match,
        measure,
        segment,
        train,
        translate,
    )

    __version__: str

__all__ = [
    "__version__",
    "evaluate",
    "evaluate_tracing",
    "generate",
    "generate_series",
    "match",
    "measure",
    "segment",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from .core.models.card import package_version

        return package_version()
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
