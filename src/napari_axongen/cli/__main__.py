"""``python -m napari_axongen.cli`` is ``axongen``."""

from __future__ import annotations

from . import main

main()
