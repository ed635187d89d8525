"""What is told to every open dock when there is a model more, or one less."""

from __future__ import annotations

from napari.utils.events import EventEmitter

models_changed = EventEmitter(type_name="models_changed")
"""Called when the models on disk are others than before; docks listen by `widgets.parts.Dock`."""
