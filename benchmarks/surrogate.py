"""Speed of the surrogate generator, and memory of its export."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from napari_axongen.core.events import run
from napari_axongen.core.surrogate import compiling
from napari_axongen.core.surrogate.generator import SurrogateStream, batch_size, generate_steps
from napari_axongen.core.surrogate.original_json import to_original
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes

from .surrogate_reference import reference_image
from .timing import Row, alternate, output

BATCH = 64
REFERENCES = 6  # images a round, of the NumPy rendition
ROUNDS = 7
PREVIEWS = 21  # rounds
FIELD = np.random.default_rng(0).random((256, 256), dtype=np.float32)

MOST = {8: {"axons.count": 8}, 20: {"axons.count": 20, "boutons.count": 100}}
PREVIEW_BARS = {8: 33, 20: 50}  # ms
SERIES_BAR = 60
CUDA_BARS = {256: 10_000, 512: 3_000}  # images/s on an H100

EXPORTED = 100, 10_000
EXPORT_SIDE = 64


def generator() -> list[Row]:
    """Images a second, milliseconds a preview, and on CUDA images a second."""
    compiling.wait()  # as after some seconds of use; without numba it is torch that is measured
    return [*_rate(), *_previews(), *_cuda_rates()]


def _rate() -> list[Row]:
    """Batches of 256 x 256, against plain NumPy and against a blur of one image of that size."""
    parameters, key = preset("original"), count()
    original = to_original(parameters)

    def batch() -> None:
        run(generate_steps(parameters, BATCH, next(key), device="cpu"))

    def references() -> None:
        for _ in range(REFERENCES):
            reference_image(original, np.random.default_rng(next(key)))

    def blurs() -> None:
        for _ in range(BATCH):
            blur()

    batches, drawn, blurred = alternate(batch, references, blurs, rounds=ROUNDS)
    one = batches / BATCH
    work = f"256 x 256, all outputs, batches of {BATCH}, {torch.get_num_threads()} threads"
    return [
        (
            f"generate, images/s, over those of plain NumPy on one core ({work}: {1 / one:.0f}/s)",
            f"{drawn / REFERENCES / one:.1f}",
            ">= 50",
        ),
        ("one of these images / one Gaussian blur (*)", f"{one / (blurred / BATCH):.2f}", "<= 1.0"),
    ]


def _previews() -> list[Row]:
    """One image from parameters to arrays, each time another."""
    names, works, bars = [], [], []
    for name in ("original", "two-photon"):
        for axons, changes in MOST.items():
            parameters = with_changes(preset(name), {"width": 512, "height": 512, **changes})
            boutons = ", 100 boutons" if "boutons.count" in changes else ""
            names.append(f"one 512 x 512 image, {name}, {axons} axons{boutons}")
            works.append(one_image(parameters))
            bars.append(PREVIEW_BARS[axons])
    names.append("one series of six 256 x 256 frames, original")
    works.append(one_image(preset("original"), series=True))
    bars.append(SERIES_BAR)
    *times, blurred = alternate(*works, blur, rounds=PREVIEWS)
    return [
        (
            f"{name}, ms (in Gaussian blurs *)",
            f"{1000 * time:.1f} ({time / blurred:.1f})",
            f"<= {bar}",
        )
        for name, time, bar in zip(names, times, bars, strict=True)
    ]


def one_image(parameters: SurrogateParameters, series: bool = False) -> Callable[[], object]:
    """A work that makes the first image of another seed each time."""
    seeds = count()
    return lambda: run(generate_steps(parameters, 1, next(seeds), device="cpu", series=series))


def blur() -> None:
    """The measure (*): one `gaussian_filter` of a float32 image of 256 x 256, on one core."""
    gaussian_filter(FIELD, sigma=6)


def _cuda_rates() -> list[Row]:
    if not torch.cuda.is_available():
        return []
    name = torch.cuda.get_device_name()
    return [
        (
            f"stream of {side} x {side} images on {name}, images/s (bar: of an H100)",
            f"{streamed(side, 'cuda'):.0f}",
            f">= {bar}",
        )
        for side, bar in CUDA_BARS.items()
    ]


def streamed(side: int, device: str) -> float:
    """Images a second that a network trained on the device is given."""
    parameters = with_changes(preset("original"), {"width": side, "height": side})
    size = batch_size(parameters, torch.device(device), series=False)
    stream = iter(SurrogateStream(parameters, batch=size, device=device))

    def batch() -> None:
        next(stream)
        if device == "cuda":
            torch.cuda.synchronize()

    (time,) = alternate(batch, rounds=ROUNDS)
    return size / time


def export() -> list[Row]:
    """Peak memory of a long and of a short export, each in a fresh process."""
    code = """
        import tempfile
        from pathlib import Path
        from benchmarks.timing import peak
        from napari_axongen.core.events import run
        from napari_axongen.core.surrogate.export import export_steps
        from napari_axongen.core.surrogate.presets import preset, with_changes
        size = {"width": SIDE, "height": SIDE}
        parameters = with_changes(preset("original"), size)
        with tempfile.TemporaryDirectory() as folder:
            run(export_steps(parameters, COUNT, 0, Path(folder) / "set", "tiff", device="cpu"))
        print(peak())
    """
    code = code.replace("SIDE", str(EXPORT_SIDE))
    few, many = (float(output(code.replace("COUNT", str(count)))) for count in EXPORTED)
    return [
        (
            f"export, peak memory: {EXPORTED[1]} images / {EXPORTED[0]} (tiff; images of "
            f"{EXPORT_SIDE} x {EXPORT_SIDE}, to be quick; {many:.0f} / {few:.0f} MB)",
            f"{many / few:.2f}",
            "<= 1.20",
        )
    ]
