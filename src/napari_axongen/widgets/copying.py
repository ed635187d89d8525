"""Take the recipe of a result along, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QMenu, QPushButton

from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.recipes import as_command, as_python


class CopyRecipe(QPushButton):
    """Copy what made a layer.

    Parameters
    ----------
    made
        Finds the layer and the image layer that it was made from; None when there is none.
    """

    def __init__(self, made: Callable[[], tuple[Any, Any] | None]) -> None:
        super().__init__()
        self._made = made
        self.setText("Copy as")
        self.setToolTip("Copy what made these layers, to run it again.")
        menu = QMenu(self)
        menu.addAction("Python", lambda: self.copy(as_python))
        menu.addAction("Command line", lambda: self.copy(as_command))
        self.setMenu(menu)

    def copy(self, write: Callable[[dict[str, Any], str | None], str]) -> None:
        """Put the text on the clipboard."""
        made = self._made()
        recipe = None if made is None else recipe_of(made[0])
        if made is None or recipe is None or "parameters" not in recipe:
            show_info("There is no result yet to copy the recipe of.")
            return
        QApplication.clipboard().setText(write(recipe, made[1].source.path))
        show_info("Copied to the clipboard.")
