"""Which layers hold the axons and the myelin of an image, and what they say of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import AXON, MYELIN, to_classes
from napari_axongen.core.image import Image

from .layers import level_0, recipe_of, spatial_shape

_NAMED = re.compile(r"(?P<stem>.*?)[ _-]+(?P<name>axon|myelin)(-manual)?$", re.IGNORECASE)
_LOOKED_AT = 128  # rows and columns of a layer from which it is told whether it is a mask
_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}


@dataclass(frozen=True)
class MaskLayers:
    """Layers that together are a mask of axons and myelin.

    Attributes
    ----------
    title
        What a person calls them.
    axon, myelin
        Two layers; or ``axon`` alone, which holds 0, 127 (myelin) and 255 (axon).
    """

    title: str
    axon: Any
    myelin: Any = None

    def reader(self) -> Callable[[], npt.NDArray[np.uint8]]:
        """What reads the mask as it is now, to be called off the GUI thread.

        Raises
        ------
        InputError
            When called: the layer holds something else.
        """
        axon = level_0(self.axon)
        if self.myelin is None:
            return lambda: to_classes(Image.from_array(np.asarray(axon), _AXES[axon.ndim]))
        myelin = level_0(self.myelin)
        return lambda: joined(axon, myelin)


def joined(axon: Any, myelin: Any) -> npt.NDArray[np.uint8]:
    """Classes (0 background, 127 myelin, 255 axon) of two arrays that are not 0 where they hold."""
    classes = np.zeros(axon.shape, dtype=np.uint8)
    for plane in np.ndindex(*axon.shape[:-2]):
        classes[plane][np.asarray(myelin[plane]) > 0] = MYELIN
        classes[plane][np.asarray(axon[plane]) > 0] = AXON
    return classes


def find_masks(source: Any, layers: Iterable[Any]) -> list[MaskLayers]:
    """The masks among some layers that fit an image, those made from it first.

    Two layers are a pair when the plugin made them from one image, or when they are called
    ``NAME axon`` and ``NAME myelin``. A layer of its own holds 0, 127 and 255.
    """
    shape = spatial_shape(source)
    fitting = [layer for layer in layers if layer != source and _may_be_mask(layer, shape)]
    halves: dict[tuple[str, str], dict[str, Any]] = {}
    single = []
    for layer in fitting:
        half = _half(layer)
        if half is None:
            if _holds_classes(layer):
                single.append(MaskLayers(layer.name, layer))
        else:
            halves.setdefault(half[0], {})[half[1]] = layer
    pairs = [
        MaskLayers(_title(pair["axon"]), pair["axon"], pair["myelin"])
        for pair in halves.values()
        if len(pair) == 2
    ]
    return sorted(pairs + single, key=lambda mask: not belongs(mask, source))


def belongs(mask: MaskLayers, source: Any) -> bool:
    """Whether a mask was made from an image, or is named after it."""
    recipe = recipe_of(mask.axon)
    if recipe and "source" in recipe:
        return bool(recipe["source"] == source.name)
    return bool(mask.axon.name.startswith(source.name))


def _may_be_mask(layer: Any, shape: tuple[int, ...]) -> bool:
    """Labels but those that number fibres, or an image of few values; of the right size."""
    if not isinstance(layer, Labels | ImageLayer) or getattr(layer, "rgb", False):
        return False
    recipe = recipe_of(layer)
    if recipe and recipe.get("output") == "fibres":
        return False
    return spatial_shape(layer) == shape and np.dtype(level_0(layer).dtype).kind in "bui"


def _half(layer: Any) -> tuple[tuple[str, str], str] | None:
    """Whose axon or myelin a layer is, and which of the two."""
    recipe, named = recipe_of(layer), _NAMED.match(layer.name)
    if recipe and recipe.get("output") in ("axon", "myelin"):
        return (str(recipe.get("verb")), str(recipe.get("source"))), recipe["output"]
    if named and (isinstance(layer, Labels) or len(np.unique(_sample(layer))) <= 2):
        return ("", named["stem"]), named["name"].lower()
    return None


def _title(axon: Any) -> str:
    """The name that the layers of a pair share."""
    named = _NAMED.match(axon.name)
    return f"{named['stem'] if named else axon.name}: axon, myelin"


def _holds_classes(layer: Any) -> bool:
    """Whether some of a layer's pixels are all background, myelin or axon."""
    try:
        classes = to_classes(Image.from_array(_sample(layer), "YX"))
    except InputError:
        return False
    return {MYELIN, AXON} <= set(np.unique(classes).tolist())


def _sample(layer: Any) -> npt.NDArray[Any]:
    """Pixels of the middle plane, evenly spread; none of an array that is not in memory."""
    data = level_0(layer)
    if not isinstance(data, np.ndarray):
        return np.zeros((1, 1), np.uint8)
    plane = data[tuple(n // 2 for n in data.shape[:-2])]
    rows, columns = (max(1, n // _LOOKED_AT) for n in plane.shape)
    sample: npt.NDArray[Any] = plane[::rows, ::columns]
    return sample
