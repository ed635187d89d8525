"""Speed of making images by diffusion."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from napari_axongen.core import tiling
from napari_axongen.core.conditioning import CLASS_COUNT, SIGMAS
from napari_axongen.core.device import Device, choose_device
from napari_axongen.core.events import run
from napari_axongen.core.image import Image
from napari_axongen.core.networks import Denoiser
from napari_axongen.core.networks.classic_denoiser import ClassicDenoiser
from napari_axongen.core.parameters import DEFAULT_MEMORY, TranslateParameters
from napari_axongen.core.surrogate.em_fields import em_field
from napari_axongen.core.translation import translate_steps
from napari_axongen.core.translators import load_translator, translators

from .timing import Row, alternate
from .translating import wait

SIDE = 512
STEPS = 8
REFERENCE_STEPS = 999
TILE = 64  # the reference's

METHODS: dict[str, dict[str, Any]] = {
    "re-render, from a mask": {"method": "ddpm"},
    "re-render, from mask and structure": {"method": "ddpm", "condition": "mask and structure"},
    "re-render, from a mask, guidance 1": {"method": "ddpm", "guidance": 1.0},
    "SDEdit, strength 0.6": {"method": "sdedit"},
    "DDIB, as many steps each way": {"method": "ddib"},
    "generate, from a mask": {"method": "generate"},
}


def diffusion() -> list[Row]:
    """Whole images of 512 x 512: against the bare network, and against the reference's."""
    device = choose_device()
    model = load_translator(translators("diffusion")[0].name, device, "diffusion")
    network, diameter = model.network, model.card.axon_diameter or 32
    assert isinstance(network, Denoiser)
    # TEM-like: fibres of which the median axon is that of the model, so that the scale is 1
    field = em_field((SIDE, SIDE), "tem", pixel_size=0.4 / diameter, seed=1)
    image = Image.from_array(field.image)
    inputs = [_input(rows, columns, device) for rows, columns in _windows(network)]
    level, domain = (x.to(device.torch) for x in (torch.ones(1), torch.ones(1, dtype=torch.long)))

    def bare() -> None:
        with torch.inference_mode():
            for x in inputs:
                network(x, level, domain)
        wait(device)

    def whole(setting: dict[str, Any]) -> None:
        parameters = TranslateParameters(
            target="SEM", axon_diameter=diameter, steps=STEPS, **setting
        )
        run(translate_steps(image, parameters, field.classes))

    classic = ClassicDenoiser().eval().to(device.torch)
    tile = _input(TILE, TILE, device)

    def reference() -> None:
        with torch.inference_mode():
            classic(tile, level, domain)
        wait(device)

    works = [lambda setting=setting: whole(setting) for setting in METHODS.values()]
    once, theirs, *times = alternate(bare, reference, *works)
    per_image = theirs * (SIDE // TILE) ** 2 * REFERENCE_STEPS
    calls = [TranslateParameters(steps=STEPS, **m).network_calls for m in METHODS.values()]
    work = f"{SIDE} x {SIDE}, {STEPS} steps, {device}, {torch.get_num_threads()} threads"
    found = [
        (
            f"re-render from a mask: part of the time that is not the network's ({work})",
            f"{1 - calls[0] * once / times[0]:.0%}",
            "<= 10%",
        ),
        (
            f"the reference, {TILE}-px tiles one by one, {REFERENCE_STEPS} steps (from one call) / "
            "re-render from a mask",
            f"{per_image / times[0]:.0f}",
            "-",
        ),
    ]
    for name, count, took in zip(METHODS, calls, times, strict=True):
        found.append(
            (
                f"{name}: network calls of a pixel (the reference: {REFERENCE_STEPS}); s/MP",
                f"{count}; {took / SIDE**2 * 1e6:.1f}",
                "-",
            )
        )
    if device.torch.type == "cuda":
        found += _compiled(network, inputs, level, domain, device)
    return found


def _compiled(
    network: Denoiser,
    inputs: list[torch.Tensor],
    level: torch.Tensor,
    domain: torch.Tensor,
    device: Device,
) -> list[Row]:
    """The bare network, compiled, against itself."""
    faster = torch.compile(network)

    def calls(module: Any) -> None:
        with torch.inference_mode():
            for x in inputs:
                module(x, level, domain)
        wait(device)

    plain, compiled = alternate(lambda: calls(network), lambda: calls(faster))
    return [("denoiser, as it is / compiled", f"{plain / compiled:.2f}", "-")]


def _windows(network: Denoiser) -> list[tuple[int, int]]:
    """Rows and columns of each call of the network for one step at scale 1."""
    tile = tiling.tile_side(network, (SIDE, SIDE), 1.0, DEFAULT_MEMORY)
    spans = tiling.Grid(SIDE, 1.0, network.receptive_radius, network.stride).cut(tile)
    sizes = [span.window.stop - span.window.start for span in spans]
    return list(product(sizes, sizes))


def _input(rows: int, columns: int, device: Device) -> torch.Tensor:
    x = torch.rand(1, CLASS_COUNT + len(SIGMAS) + 1, rows, columns).to(device.torch)
    return x.contiguous(memory_format=device.memory_format)
