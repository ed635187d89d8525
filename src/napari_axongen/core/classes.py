"""What a pixel can be: the classes of the segmenters, in the order of their networks' outputs."""

from __future__ import annotations

FIBRE_CLASSES = ("background", "myelin", "axon")
"""Of electron micrographs."""

AXON_CLASSES = ("background", "axon")
BOUTON_CLASSES = ("background", "bouton")
FLUORESCENCE_CLASSES = (AXON_CLASSES, BOUTON_CLASSES)
"""Of fluorescence images: a bouton is a part of an axon, so each has a network of its own."""

IGNORED = 255
"""Class of a pixel whose truth is unknown: it is neither learnt nor scored."""
