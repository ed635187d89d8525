"""The reference's denoisers from their checkpoints, whose names and shapes are those of ours.

One was trained for each microscope, without any condition, on 64-pixel squares of grey images as
RGB. Ones for other images, or that are told of a class, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_axongen.core.errors import InputError

from .card import Looks
from .fitting import fitted

if TYPE_CHECKING:
    from torch import Tensor

    from napari_axongen.core.networks import TileExactNetwork

FIRST = "inc.double_conv.0.weight"
"""Name of the first tensor."""

_STEP = "down1.emb_layer.1.weight"

GREY_RANGE = (42.5, 212.5)
"""`Card.grey_range` with which outputs of -1 and 1 become the grey values 0 and 255."""

# A checkpoint does not tell. These are means over the images of the public data sets of AxonDeepSeg
# (SEM: 7 of rat spinal cord; TEM: 15 of mouse corpus callosum), which the reference is trained on.
_QUANTILES = {
    "SEM": (-0.25, -0.1, -0.026, 0.044, 0.11, 0.173, 0.242, 0.305, 0.373, 0.437, 0.503, 0.567, 0.63,
            0.696, 0.767, 0.854, 1.25),
    "TEM": (-0.246, -0.097, -0.008, 0.085, 0.157, 0.248, 0.326, 0.439, 0.558, 0.671, 0.741, 0.822,
            0.888, 0.952, 1.019, 1.096, 1.232),
}  # fmt: skip


def denoiser(
    weights: Mapping[str, Tensor], target: Literal["TEM", "SEM"], path: Path
) -> tuple[TileExactNetwork, dict[str, Any]]:
    """The network of some tensors, and what its card says of it.

    Parameters
    ----------
    weights
        By the reference's names, among them `FIRST`.
    target
        Contrast of the images that it makes.
    path
        Where they come from, for the message.

    Raises
    ------
    InputError
        They are not those of such a network.
    """
    import torch

    from napari_axongen.core.networks import ClassicDenoiser

    if "label_emb.weight" in weights:
        raise InputError(
            f"The denoiser in {path} is told of classes ('label_emb.weight'); only one without any "
            "condition can be imported."
        )
    for key, axes in ((FIRST, 4), (_STEP, 2)):
        if key in weights and weights[key].ndim != axes:
            shape = tuple(weights[key].shape)
            raise InputError(f"'{key}' in {path} has shape {shape} instead of {axes} axes.")
    first = weights[FIRST]
    if first.shape[1] not in (1, 3):
        raise InputError(
            f"The denoiser in {path} takes {first.shape[1]} channels; only one for grey images (1) "
            "or for RGB (3) can be imported."
        )
    arguments = {"channels": first.shape[1], "width": first.shape[0]}
    if _STEP in weights:
        arguments["told"] = weights[_STEP].shape[1]
    try:
        with torch.device("meta"):  # shapes alone
            expected = ClassicDenoiser(**arguments).state_dict()
    except TypeError as error:
        raise InputError(f"The denoiser in {path} cannot be built: {error}.") from error
    state = fitted(weights, expected, "the reference's denoiser", path)
    network = ClassicDenoiser(**arguments)
    network.load_state_dict(state)
    return network, {
        "task": "diffusion",
        "description": "A denoiser of the reference: it makes images of one microscope, told of "
        "nothing, square by square.",
        "looks": {target: Looks(grey_range=GREY_RANGE, quantiles=list(_QUANTILES[target]))},
        "network": {"name": "classic-denoiser", **arguments},
    }
