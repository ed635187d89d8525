"""Dice of the shipped segmenters on animals they were not trained on: ``make accuracy``.

Writes docs/accuracy.md. The held-out animals are those of each model's recipe, as its card says.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from skimage.filters import threshold_multiotsu

from napari_axongen.core.datasets import LabelledImage, data_folder, load_bids
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import run
from napari_axongen.core.image import Image
from napari_axongen.core.models.store import load_card
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.segmentation import segment_steps

MODELS = {"axon-myelin-sem": (0.90, 0.84), "axon-myelin-tem": (0.95, 0.91)}
"""With the bars that were set for the mean Dice of axon and of myelin."""

TABLE = Path(__file__).parents[1] / "docs" / "accuracy.md"
HEAD = """# Accuracy of the shipped segmenters

Dice against the manual masks, at the threshold 0.5, image by image, on animals that were held out
of the training. Made by `make accuracy` (`benchmarks/accuracy.py`). The weights are the average of
the last steps: neither they nor the threshold were chosen on these images; the scale and length of
the training were.

- *as a user has it*: model and contrast chosen by the program, pixel size from the side-car file;
- *nothing known*: the same without the pixel size, the scale being found from the image;
- *three-level Otsu*: the grey levels parted in three, for comparison.

The last row of each table, the same for the images that were trained on, shows how much of a
shortfall is in the fit (and in the labels) and how much is due to the animal being new.
"""


def by_otsu(image: Image, contrast: str) -> np.ndarray:
    """Classes by grey level alone: the darkest third is axon in SEM, myelin in TEM."""
    grey = image.read(())
    level = np.digitize(grey, threshold_multiotsu(grey, 3))
    values = [255, 0, 127] if contrast == "SEM" else [127, 0, 255]
    return np.array(values, np.uint8)[level]


def scores(found: np.ndarray, truth: LabelledImage) -> tuple[float, float]:
    """Dice of axon and of myelin."""
    axon = dice(found == 255, truth.classes == 2)
    return axon, dice(found == 127, truth.classes == 1)


def rows(name: str, held_out: bool) -> tuple[list[str], np.ndarray]:
    """Names of the images, held out or trained on, and scores (images, ways, axon and myelin)."""
    card = load_card(name)
    recipe = card.training["recipe"]
    images = load_bids(data_folder(recipe["data"]["root"]))
    names, table = [], []
    for labelled in images:
        if (labelled.animal in recipe["data"]["validation"]) != held_out:
            continue
        image = labelled.image
        unknown = Image(image.data, image.axes, None, image.name)
        ways = [run(segment_steps(i, SegmentParameters())).classes() for i in (image, unknown)]
        ways.append(by_otsu(image, str(card.contrast)))
        names.append(Path(image.name).stem)
        table.append([scores(found, labelled) for found in ways])
    return names, np.array(table)


def main() -> None:
    lines = [HEAD]
    for name, bars in MODELS.items():
        card = load_card(name)
        data = card.training["recipe"]["data"]
        names, table = rows(name, held_out=True)
        _, trained = rows(name, held_out=False)
        held_out = ", ".join(data["validation"])
        lines += [
            f"## {name}",
            "",
            f"Trained on `{data['root']}` without {held_out}; tested on {held_out}. Axon / myelin.",
            "",
            "| image | as a user has it | nothing known | three-level Otsu |",
            "|---|---|---|---|",
        ]
        means = [("**mean**", table.mean(0)), ("*images trained on, mean*", trained.mean(0))]
        for label, ways in [*zip(names, table, strict=True), *means]:
            cells = " | ".join(f"{axon:.3f} / {myelin:.3f}" for axon, myelin in ways)
            lines.append(f"| {label} | {cells} |")
        lines += [f"| bar | {bars[0]:.2f} / {bars[1]:.2f} | | |", ""]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(lines), encoding="utf-8")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
