"""Take the recipe of a result along, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QMenu, QPushButton

from napari_axongen.bridge.recipes import as_command, as_python


class CopyRecipe(QPushButton):
    """Copy a recipe as text.

    Parameters
    ----------
    made
        Finds the recipe and the file of the image that it starts from, if any; None when there is
        no recipe.
    """

    def __init__(
        self, made: Callable[[], tuple[Mapping[str, Any] | None, str | None] | None]
    ) -> None:
        super().__init__()
        self._made = made
        self.setText("Copy as")
        self.setToolTip("Copy what makes these layers, to run it again.")
        menu = QMenu(self)
        menu.addAction("Python", lambda: self.copy(as_python))
        menu.addAction("Command line", lambda: self.copy(as_command))
        self.setMenu(menu)

    def copy(self, write: Callable[[Mapping[str, Any], str | None], str]) -> None:
        """Put the text on the clipboard."""
        recipe, path = self._made() or (None, None)
        if recipe is None or "parameters" not in recipe:
            show_info("There is no result yet to copy the recipe of.")
            return
        QApplication.clipboard().setText(write(recipe, path))
        show_info("Copied to the clipboard.")
