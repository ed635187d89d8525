"""Speed and memory of translating whole images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from torch.nn import functional

from napari_axongen.core import tiling
from napari_axongen.core.conditioning import CHANNELS, CLASS_COUNT
from napari_axongen.core.device import Device, choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.image import Image
from napari_axongen.core.models import Card, save_model
from napari_axongen.core.networks import ClassicGenerator, TileExactNetwork, build
from napari_axongen.core.parameters import DEFAULT_MEMORY, TranslateParameters
from napari_axongen.core.surrogate.em_fields import em_field
from napari_axongen.core.translation import translate_steps
from napari_axongen.core.translators import load_translator, translator_to

from .timing import Row, alternate, output

SIDE = 2048
TILE = 64  # the reference's; its network takes it enlarged to 256
TILES = 8  # of the reference's, a round
LARGE = 16_384

_UNTRAINED = {"name": "translator", "channels": [40, 64, 96, 128]}  # of the shipped recipe


def translation() -> list[Row]:
    """Whole images of 2048 x 2048: against the bare network, and against the reference's."""
    with tempfile.TemporaryDirectory() as folder:
        return _translation(_model(Path(folder)), choose_device())


def _translation(name: str, device: Device) -> list[Row]:
    model = load_translator(name, device)
    network, diameter = model.network, model.card.axon_diameter or 28
    # TEM-like: fibres of which the median axon is that of the model, so that the scale is 1
    field = em_field((SIDE, SIDE), "tem", pixel_size=0.4 / diameter, seed=1)
    image = Image.from_array(field.image)
    windows = [_input(rows, columns, device) for rows, columns in _windows(network)]
    plain = _input(SIDE, SIDE, device)

    def bare(inputs: list[torch.Tensor]) -> None:
        with torch.inference_mode():
            for x in inputs:
                network(x)
        wait(device)

    def whole(condition: str) -> None:
        parameters = TranslateParameters(model=name, axon_diameter=diameter, condition=condition)
        run(translate_steps(image, parameters, field.classes))

    classic = ClassicGenerator().eval().to(device.torch)
    tile = _input(TILE, TILE, device)

    def tiles() -> None:
        with torch.inference_mode():
            for _ in range(TILES):
                large = functional.interpolate(tile, size=(classic.fixed_tile,) * 2)
                functional.interpolate(classic(large), size=(TILE, TILE), mode="area")
        wait(device)

    margins, single, mask, both, reference = alternate(
        lambda: bare(windows),
        lambda: bare([plain]),
        lambda: whole("mask"),
        lambda: whole("mask and structure"),
        tiles,
    )
    reference *= (SIDE // TILE) ** 2 / TILES
    work = f"{SIDE} x {SIDE}, {model.card.name}, {device}, {torch.get_num_threads()} threads"
    return [
        (
            f"translate from a mask / bare network, same pixels, margins included ({work})",
            f"{mask / margins:.2f}",
            "<= 1.30",
        ),
        ("the same / bare network over the image in one piece", f"{mask / single:.2f}", "-"),
        (
            "translate from mask and structure / bare network, margins included",
            f"{both / margins:.2f}",
            "-",
        ),
        (
            f"the reference's generator, {TILE}-px tiles one by one / translate from a mask",
            f"{reference / mask:.0f}",
            ">= 20",
        ),
    ]


def translation_memory() -> list[Row]:
    """Peak memory above a lazy image and the bare libraries (a fresh process)."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"""
            import dask.array as da, numpy as np, torch
            from benchmarks.timing import peak
            from napari_axongen.core.device import choose_device
            from napari_axongen.core.events import run
            from napari_axongen.core.image import Image
            from napari_axongen.core.parameters import DEFAULT_MEMORY, TranslateParameters
            from napari_axongen.core.surrogate.em_fields import em_field
            from napari_axongen.core.translation import translate_steps
            from napari_axongen.core.translators import load_translator
            name = {_model(Path(folder))!r}
            diameter = 4 * load_translator(name, choose_device("cpu")).card.axon_diameter
            part = em_field((1024, 1024), "tem", pixel_size=0.4 / diameter, seed=1).image
            data = da.tile(da.from_array(part), ({LARGE // 1024},) * 2)
            before = peak()
            parameters = TranslateParameters(
                model=name, axon_diameter=diameter, condition="mask and structure", device="cpu"
            )
            made = run(translate_steps(Image.from_array(data, "YX"), parameters))
            assert made.image.std() > 0 and made.mask.any()
            print(peak() - before)
        """
        above = float(output(code))
    return [
        (
            f"translate a dask array of {LARGE} x {LARGE}, mask segmented, scale 1/4: peak memory "
            "above the image, both results included, MB",
            f"{above:.0f}",
            "<= 2048",
        )
    ]


def _model(folder: Path) -> str:
    """The shipped translator to SEM, or an untrained one of its size."""
    try:
        return translator_to("SEM")
    except InputError:
        path = folder / "untrained.safetensors"
        card = Card(
            name="untrained",
            task="translation",
            source="TEM",
            contrast="SEM",
            network=_UNTRAINED,
            classes=["background", "myelin", "axon"],
            axon_diameter=28,
        )
        save_model(path, build(_UNTRAINED), card)
        return str(path)


def _windows(network: TileExactNetwork) -> Iterator[tuple[int, int]]:
    """Rows and columns of each call of the network for one image at scale 1."""
    shape = SIDE, SIDE
    tile = tiling.tile_side(network, shape, 1.0, DEFAULT_MEMORY, planes=CLASS_COUNT)
    spans = tiling.Grid(SIDE, 1.0, network.receptive_radius, network.stride).cut(tile)
    sizes = [span.window.stop - span.window.start for span in spans]
    return product(sizes, sizes)


def _input(rows: int, columns: int, device: Device) -> torch.Tensor:
    x = torch.rand(1, CHANNELS, rows, columns).to(device.torch)
    return x.contiguous(memory_format=device.memory_format)


def wait(device: Device) -> None:
    """Until a GPU has done what it was told."""
    if device.torch.type == "cuda":
        torch.cuda.synchronize()
