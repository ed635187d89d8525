"""From a scene to the pixels of its frames, by torch or by compiled loops."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from . import compiling
from .acquisition import Microscope
from .pixels import PixelDraws
from .raster import MOST_SEGMENTS, Canvas
from .render import Renderer
from .scene import Scene

_PAGE = 1 << 21  # bytes of a large page of memory
_RENDERED = 1 << 20  # pixels that a CPU renders at once: many, for few and long operations
_EXPOSED = 1 << 17  # pixels that it turns to grey values at once: few, to stay in the cache


@dataclass
class Pixels:
    """All (B, T, H, W).

    Attributes
    ----------
    images, clean_images
        uint8, or int32 where the greatest grey value is above 255.
    axon_labels, branch_labels
        int16; above 0 in the axon mask.
    axon_masks, bouton_masks
        uint8, 0 and 255.
    """

    images: torch.Tensor
    clean_images: torch.Tensor
    axon_labels: torch.Tensor
    branch_labels: torch.Tensor
    axon_masks: torch.Tensor
    bouton_masks: torch.Tensor


def develop(scene: Scene, microscope: Microscope) -> Pixels:
    """Draw a scene and expose it, on the microscope's device."""
    p, device = microscope.parameters, microscope.device
    size = (*microscope.left.shape, p.height, p.width)
    grey = torch.uint8 if p.max_intensity <= 255 else torch.int32
    kinds = (grey, grey, torch.int16, torch.int16, torch.uint8, torch.uint8)
    pixels = Pixels(*(_empty(size, kind, device) for kind in kinds))
    loops = compiling.kernels() if device.type == "cpu" else None
    if loops:
        from .fused import Film

        Film(scene, microscope, pixels, loops).develop()
    else:
        _develop(scene, microscope, pixels)
    return pixels


@torch.no_grad()
def _develop(scene: Scene, microscope: Microscope, pixels: Pixels) -> None:
    """By torch: all frames, but a few at a time on a CPU."""
    device = microscope.device
    images, frames, height, width = pixels.images.shape

    def draw(some: slice) -> None:
        within = range(some.start * frames, some.stop * frames)
        lines = scene.branches.within(within, device)
        if len(lines) > MOST_SEGMENTS and some.stop - some.start > 1:
            middle = (some.start + some.stop) // 2
            draw(slice(some.start, middle))
            draw(slice(middle, some.stop))
            return
        canvas = Canvas(len(within), height, width, device)
        noises = scene.noises[some].repeat_interleave(frames, dim=0).to(device)
        draws = PixelDraws(microscope.frame_keys[within.start : within.stop])
        renderer = Renderer(canvas, microscope.parameters, draws, *noises.unbind(1))
        renderer.draw_branches(lines)
        renderer.draw_stalks(scene.stalks.within(within, device))
        renderer.draw_boutons(scene.spots.within(within, device))
        renderer.draw_cells(scene.bodies.within(within, device))
        drawn = renderer.finished(frames)
        pixels.axon_labels[some].copy_(drawn.axon_labels)
        pixels.branch_labels[some].copy_(drawn.branch_labels)
        pixels.axon_masks[some].copy_((drawn.axon_labels > 0).mul(255))
        pixels.bouton_masks[some].copy_(drawn.boutons.mul(255))
        for i in range(0, some.stop - some.start, exposed):
            part = slice(i, i + exposed)
            into = slice(some.start + i, min(some.start + i + exposed, some.stop))
            made = microscope.expose(drawn.light[part], drawn.clean_light[part], into)
            pixels.images[into].copy_(made[0])
            pixels.clean_images[into].copy_(made[1])
        canvas.let_go()

    rendered = exposed = images
    if device.type == "cpu":
        area = frames * height * width
        rendered, exposed = max(1, _RENDERED // area), max(1, _EXPOSED // area)
    for i in range(0, images, rendered):
        draw(slice(i, min(i + rendered, images)))


def _empty(size: tuple[int, ...], kind: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        return torch.empty(size, dtype=kind, device=device)
    # NumPy asks for large pages, which are there at once; what lies in none comes 4 kB by 4 kB,
    # and that is half of a batch unless its arrays begin where a large page does
    width = torch.empty(0, dtype=kind).element_size()
    count = math.prod(size) * width
    if count < _PAGE:
        flat = np.empty(count, np.uint8)
    else:
        flat = np.empty(count + _PAGE, np.uint8)
        start = -flat.ctypes.data % _PAGE
        flat = flat[start : start + count]
    return torch.from_numpy(flat.reshape(*size, width)).view(kind)[..., 0]
