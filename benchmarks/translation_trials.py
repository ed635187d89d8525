"""Train on synthetic, test on real: one small segmenter per arm and seed.

Every arm trains the same network by the same steps and augmentation; only its images differ. What
an arm and seed gave is kept as JSON, so that an interrupted experiment goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

from napari_axongen.core.datasets import LabelledImage, make_micrographs
from napari_axongen.core.datasets.labelled import class_indices, mask_values
from napari_axongen.core.device import choose_device
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import run
from napari_axongen.core.files import write_image, write_text
from napari_axongen.core.image import Image
from napari_axongen.core.models.store import RUN_MODEL, find_model, load_network
from napari_axongen.core.networks import TileExactNetwork
from napari_axongen.core.segmentation import class_values, predict_plane
from napari_axongen.core.training import Recipe
from napari_axongen.core.training.loop import train
from napari_axongen.core.training.segmenter import SegmentationTask

from .translation_images import (
    Condition,
    Direction,
    images,
    inversion,
    translator,
    with_greys,
)

STEPS = 450
RENDERINGS = 4
"""Of each source mask, each from a noise of its own."""
VARIETY = 2.0
"""Of brightness: twice what the translator saw, so that the segmenter learns to trust in shapes."""
LAYOUTS, LAYOUT_SIDE = 24, 512
"""Fibre layouts, and their side in px."""

AS_LEARNED: dict[str, Any] = {"method": "ddpm", "guidance": 1.0}
"""The denoiser's own distribution, of which guidance would keep what is most typical."""
GUIDED: dict[str, Any] = {"method": "ddpm", "guidance": 2.0}

SETTING: dict[str, Any] = {
    "network": {"name": "unet", "channels": [8, 16, 32, 64, 128]},
    "optimisation": {"steps": STEPS, "batch": 8, "crop": 128, "average": 0.98},
    "validate_every": STEPS,
}
Scores = dict[str, tuple[float, float]]
"""Dice of axon and of myelin by image."""


def segment(network: TileExactNetwork, image: Image) -> np.ndarray:
    """Class indices that a network finds at the image's own scale."""
    values = class_values(run(predict_plane(network, image, (), scale=1.0)))
    return class_indices(values)


class Trial(SegmentationTask):
    """A segmenter whose validation names every image."""

    def validate(self) -> dict[str, float]:
        scores = {}
        for labelled in self.held_out:
            found = segment(self.modules["average"], labelled.image)
            for index, name in ((1, "myelin"), (2, "axon")):
                scores[f"val_{name} {labelled.image.name}"] = dice(
                    found == index, labelled.classes == index
                )
        return scores


# ---------------------------------------------------------------- what each arm trains on

Images = Callable[[Direction, str, int], list[LabelledImage]]
"""Training images of a direction, for a model and a seed."""


def _source(direction: Direction, model: str, seed: int) -> list[LabelledImage]:
    return images(direction.source, direction.axon_diameter)[0]


def _real(direction: Direction, model: str, seed: int) -> list[LabelledImage]:
    return images(direction.target, direction.axon_diameter)[0]


def _inversion(direction: Direction, model: str, seed: int) -> list[LabelledImage]:
    render = inversion(_real(direction, model, seed))
    return [render(image) for image in _source(direction, model, seed)]


def _rendered(*conditions: Condition, variety: float = VARIETY, **diffusion: Any) -> Images:
    """Renderings of every source image, each condition and noise in turn."""

    def arm(direction: Direction, model: str, seed: int) -> list[LabelledImage]:
        source, found = _source(direction, model, seed), []
        for count in range(RENDERINGS):
            condition = conditions[count % len(conditions)]
            for place, image in enumerate(source):
                noise = (seed * RENDERINGS + count) * len(source) + place
                render = translator(
                    model,
                    condition,
                    direction.axon_diameter,
                    noise,
                    variety=variety,
                    target=direction.target.contrast,
                    **diffusion,
                )
                found.append(render(image))
        return found

    return arm


def _layouts(**diffusion: Any) -> Images:
    """Fibres out of nothing, rendered."""

    def arm(direction: Direction, model: str, seed: int) -> list[LabelledImage]:
        contrast = direction.target.contrast
        made = make_micrographs(contrast, LAYOUTS, LAYOUT_SIDE, seed, model, VARIETY, **diffusion)
        return [with_greys(image, image.image.read(())) for image in made]

    return arm


def _together(*arms: Images) -> Images:
    return lambda direction, model, seed: [i for arm in arms for i in arm(direction, model, seed)]


class Arm(NamedTuple):
    title: str
    images: Images
    model: str | None = "default"  # which is needed: see `translation.Models`


ARMS = {
    "source": Arm("source only", _source, None),
    "inversion": Arm("inversion + histogram", _inversion, None),
    "classic": Arm("classic, from masks", _rendered("mask"), "classic"),
    "usual": Arm("default, from masks, variety 1", _rendered("mask", variety=1)),
    "mask": Arm("default, from masks", _rendered("mask")),
    "mixed": Arm("default, without and with structure", _rendered("mask", "mask and structure")),
    "nothing": Arm("default, from fibre layouts alone", _layouts()),
    "blend": Arm("inversion + default, from fibre layouts", _together(_inversion, _layouts())),
    "layouts": Arm(
        "default, from masks and fibre layouts", _together(_rendered("mask"), _layouts())
    ),
    "diffused": Arm("re-render, from masks", _rendered("mask", **AS_LEARNED), "diffusion"),
    "diffused-guided": Arm(
        "re-render, from masks, guidance 2", _rendered("mask", **GUIDED), "diffusion"
    ),
    "diffused-nothing": Arm(
        "re-render, from fibre layouts alone", _layouts(**AS_LEARNED), "diffusion"
    ),
    "diffused-nothing-guided": Arm(
        "re-render, from fibre layouts alone, guidance 2", _layouts(**GUIDED), "diffusion"
    ),
    "diffused-blend": Arm(
        "inversion + re-render, from fibre layouts",
        _together(_inversion, _layouts(**AS_LEARNED)),
        "diffusion",
    ),
    "real": Arm("real target", _real, None),
    "both": Arm("real target + fibre layouts", _together(_real, _layouts())),
}


# ---------------------------------------------------------------- one trial


def kept(direction: Direction, arm: str, seed: int, runs: Path, model: str) -> Scores | None:
    """What a trial gave; None if it was not run, or in another setting or with another model.

    Parameters
    ----------
    direction, arm, seed
        The trial.
    runs
        Holds ``DIRECTION/ARM-SEED.json`` and, beside it, ``ARM-SEED/model.safetensors``.
    model
        Name or file of the translator; not looked at where the arm needs none.
    """
    path = _place(direction, arm, seed, runs).with_suffix(".json")
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["setting"] != _setting(direction, arm, model):
        return None
    return {name: (axon, myelin) for name, (axon, myelin) in result["dice"].items()}


def trial(direction: Direction, arm: str, seed: int, runs: Path, model: str) -> Scores:
    """Train a segmenter on an arm's images and test it on the target's test images: see `kept`."""
    found = kept(direction, arm, seed, runs, model)
    if found is not None:
        return found
    place, started = _place(direction, arm, seed, runs), time.perf_counter()
    shutil.rmtree(place, ignore_errors=True)
    test = images(direction.target, direction.axon_diameter)[1]
    write_bids(place / "data", ARMS[arm].images(direction, model, seed) + test)
    recipe = Recipe.model_validate(
        SETTING
        | {
            "name": f"{direction.name}-{arm}",
            "contrast": direction.target.contrast,
            "data": {
                "source": "folder",
                "root": str(place / "data"),
                "validation": list(direction.target.test),
            },
            "keep": "last",  # the best would be chosen on what is tested
            "seed": seed,
        }
    )
    task = Trial(recipe, choose_device())
    run(train(task, recipe, place))
    last = json.loads((place / "history.json").read_text(encoding="utf-8"))[-1]
    scores = {
        i.image.name: (last[f"val_axon {i.image.name}"], last[f"val_myelin {i.image.name}"])
        for i in task.held_out
    }
    shutil.rmtree(place / "data")
    result = {
        "setting": _setting(direction, arm, model),
        "dice": scores,
        "seconds": round(time.perf_counter() - started),
    }
    write_text(place.with_suffix(".json"), json.dumps(result, indent=2))
    return scores


def trained(direction: Direction, arm: str, seed: int, runs: Path) -> TileExactNetwork:
    """The segmenter of a trial that needs no translator; `real` makes the target's judges."""
    trial(direction, arm, seed, runs, "")
    return load_network(_place(direction, arm, seed, runs) / RUN_MODEL)[0]


def _place(direction: Direction, arm: str, seed: int, runs: Path) -> Path:
    return runs / direction.name / f"{arm}-{seed}"


def _setting(direction: Direction, arm: str, model: str) -> dict[str, Any]:
    """All that a trial depends on."""
    weights = fingerprint(model) if ARMS[arm].model else None
    return SETTING | {"axon_diameter": direction.axon_diameter, "model": weights}


def fingerprint(model: str) -> str:
    """SHA-256 of a model's weights, to which a result belongs; its card may be written anew."""
    digest = hashlib.sha256()
    for name, values in sorted(load_file(find_model(model)).items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


def write_bids(folder: Path, labelled: list[LabelledImage]) -> None:
    """Write images at the working scale as the data set that a recipe reads."""
    for count, item in enumerate(labelled):
        micr = folder / item.animal / "micr"
        masks = folder / "derivatives" / "labels" / item.animal / "micr"
        stem = Path(item.image.name).stem
        if (micr / f"{stem}.png").exists():  # another rendering
            stem = f"{stem}_{count:03d}"
        for place in (micr, masks):
            place.mkdir(parents=True, exist_ok=True)
        greys = np.clip(np.rint((item.image.read(()) + 0.25) / 1.5 * 255), 0, 255)
        write_image(micr / f"{stem}.png", greys.astype(np.uint8))
        write_image(masks / f"{stem}_seg-axonmyelin-manual.png", mask_values(item.classes))
