"""Whether foreign tensors are those of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_axongen.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def fitted(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], kind: str, path: Path
) -> dict[str, Tensor]:
    """The tensors in the expected types: all that are needed and nothing more.

    Parameters
    ----------
    found
        By name.
    expected
        Of the shapes and types that are wanted; they may be on the meta device.
    kind, path
        Of what network they should be, and where they come from: for the message.

    Raises
    ------
    InputError
        One is missing, too many, of another shape or kind, or not finite.
    """
    import torch

    missing = [key for key in expected if key not in found]
    if missing:
        raise InputError(f"'{missing[0]}' is missing in {path}, which is not the whole of {kind}.")
    for key, tensor in found.items():
        if key not in expected:
            raise InputError(
                f"'{key:.80}' in {path} is not of {kind}; only such a one can be imported."
            )
        shape, wanted = tuple(tensor.shape), tuple(expected[key].shape)
        if shape != wanted:
            raise InputError(f"'{key}' in {path} has shape {shape} instead of {wanted}.")
        if tensor.is_floating_point() != expected[key].is_floating_point():
            raise InputError(f"'{key}' in {path} is of type {tensor.dtype}.")
    state = {key: found[key].detach().to(like.dtype).contiguous() for key, like in expected.items()}
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"'{key}' in {path} has values that are not finite.")
    return state
