"""Print every figure as a ratio: ``make bench``, or ``make bench ARGS="generator imports"``.

Both sides of a ratio are measured in the same run, alternately, and the medians are compared: these
figures hold on a noisy machine where seconds do not.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from napari_axongen.core.device import choose_device
from napari_axongen.core.events import run
from napari_axongen.core.files import read_image, write_image
from napari_axongen.core.instances import label_fibres
from napari_axongen.core.models.store import load_network
from napari_axongen.core.morphometry import measure
from napari_axongen.core.networks import fold_batch_norm
from napari_axongen.core.parameters import MeasureParameters, SegmentParameters
from napari_axongen.core.segmentation import segment_steps
from napari_axongen.core.surrogate.em_fields import em_field

from .diffusing import diffusion
from .surrogate import export, generator
from .timing import ROUNDS, Row, alternate, output
from .training import training
from .translating import translation, translation_memory

MODEL = "axon-myelin-sem"
SIDE = 2048


def segmentation() -> list[Row]:
    """A 2048 x 2048 file to mask files, against the bare network over the same pixels."""
    device = choose_device()
    network, card, _ = load_network(MODEL, device)
    network = fold_batch_norm(network)  # as it is run: the harder comparison
    field = em_field((SIDE, SIDE), "sem", pixel_size=card.pixel_size, seed=1)
    parameters = SegmentParameters(model=MODEL, pixel_size=card.pixel_size)
    x = torch.rand(1, 1, SIDE, SIDE).to(device.torch).contiguous(memory_format=device.memory_format)

    def bare() -> None:
        with torch.inference_mode():
            network(x)
        if device.torch.type == "cuda":
            torch.cuda.synchronize()

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "field.tif"
        write_image(source, field.image)
        classes: list[np.ndarray] = []

        def whole() -> None:
            values = run(segment_steps(read_image(source), parameters)).classes()
            write_image(Path(folder) / "field_seg-axonmyelin.png", values)
            write_image(Path(folder) / "field_seg-axon.png", values == 255)
            write_image(Path(folder) / "field_seg-myelin.png", values == 127)
            classes[:] = [values]

        def fibres() -> None:
            labels = label_fibres(classes[0], min_diameter=parameters.min_diameter)
            measure(labels, classes[0], MeasureParameters(pixel_size=card.pixel_size))

        bare_time, whole_time, fibre_time = alternate(bare, whole, fibres)
    work = f"{SIDE} x {SIDE}, {MODEL}, {device}, {torch.get_num_threads()} threads"
    return [
        (
            f"segment, file to files / bare forward pass ({work})",
            f"{whole_time / bare_time:.2f}",
            "<= 1.30",
        ),
        ("fibres and morphometry / segment", f"{fibre_time / whole_time:.2f}", "<= 1.00"),
    ]


def memory() -> list[Row]:
    """Peak memory above the image and the bare libraries at 8192 x 8192 (a fresh process)."""
    code = f"""
        import numpy as np, torch
        from benchmarks.timing import peak
        from napari_axongen.core.device import choose_device
        from napari_axongen.core.events import run
        from napari_axongen.core.image import Image
        from napari_axongen.core.models.store import load_network
        from napari_axongen.core.parameters import MeasureParameters, SegmentParameters
        from napari_axongen.core.segmentation import segment_steps
        from napari_axongen.core.surrogate.em_fields import em_field
        network, card, _ = load_network({MODEL!r}, choose_device("cpu"))
        tile = em_field((1024, 1024), "sem", pixel_size=card.pixel_size, seed=1).image
        image = Image.from_array(np.tile(tile, (8, 8)), pixel_size=card.pixel_size)
        before = peak()
        parameters = SegmentParameters(model={MODEL!r}, device="cpu")
        run(segment_steps(image, parameters)).classes()
        print(peak() - before)
    """
    above = float(output(code))
    return [("segment 8192 x 8192: peak memory above the image, MB", f"{above:.0f}", "<= 1024")]


def imports() -> list[Row]:
    """Seconds that the plugin and its docks add to napari's own, and whether torch came along."""
    code = """
        import time, sys
        import napari, napari.qt
        from napari.qt import get_qapp
        get_qapp()
        viewer = napari.Viewer(show=False)
        start = time.perf_counter()
        {what}
        print(time.perf_counter() - start, "torch" in sys.modules)
    """
    docks = {
        "import napari_axongen": "import napari_axongen",
        "open the segment dock": "viewer.window.add_plugin_dock_widget("
        "'napari-axongen', 'Segment axons')",
        "open the measure dock": "viewer.window.add_plugin_dock_widget("
        "'napari-axongen', 'Measure fibres')",
        "open the surrogate dock": "viewer.window.add_plugin_dock_widget("
        "'napari-axongen', 'Generate two-photon axons')",
        "open the train dock": "viewer.window.add_plugin_dock_widget("
        "'napari-axongen', 'Train a model')",
    }
    rows = []
    for name, what in docks.items():
        runs = [output(code.replace("{what}", what), screen=True).split() for _ in range(ROUNDS)]
        took = statistics.median(float(first) for first, _ in runs)
        torch_loaded = any(last == "True" for _, last in runs)
        rows.append(
            (
                f"{name}, seconds beyond napari's own" + (" (WITH torch)" if torch_loaded else ""),
                f"{took:.2f}",
                "<= 0.30",
            )
        )
    return rows


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "segmentation": segmentation,
    "memory": memory,
    "imports": imports,
    "generator": generator,
    "export": export,
    "translation": translation,
    "translation_memory": translation_memory,
    "diffusion": diffusion,
    "training": training,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all when omitted")
    names = parser.parse_args().names or list(BENCHMARKS)
    table = Table("figure", "measured", "bar")
    for name in names:
        for row in BENCHMARKS[name]():
            table.add_row(*row)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
