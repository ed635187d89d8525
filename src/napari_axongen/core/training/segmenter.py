"""Training a segmenter: of background, myelin and axon, or of axons or boutons in fluorescence."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_axongen.core.classes import BOUTON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.datasets.augment import random_crop
from napari_axongen.core.datasets.scaling import scale_to
from napari_axongen.core.datasets.sources import (
    LabelledImage,
    class_indices,
    load_labelled,
    make_fields,
    make_micrographs,
)
from napari_axongen.core.datasets.splitting import PARTS, split_by_name
from napari_axongen.core.detection import boxes_of, detection_curve, find_boutons
from napari_axongen.core.device import Device
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Progress, Steps, run
from napari_axongen.core.fluorescence import label_axons
from napari_axongen.core.image import SPARSE, USUAL
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import TileExactNetwork
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.segmentation import class_values, predict_plane

from .averaging import follow_weights
from .building import descend_in_parts, kept_entry, recipe_network, run_card, to_device
from .losses import LOSSES
from .parallel import share
from .planes import plane_at
from .pools import Mixture, SurrogatePool, surrogates
from .recipe import Contrast, FolderData, Recipe, SurrogateData
from .showing import Tile, fullest_window

THRESHOLDS = np.arange(1, 50) / 50
"""Those that are tried on the held-out images of a fluorescence segmenter."""

_BOX_MARGIN = 2  # px around the mask of a bouton within which a detection hits it
_SHORTEST = SegmentParameters().min_length  # axons are judged as they will be found
_SHOWN = 4  # held-out images of which a tile is shown


class SegmentationTask:
    """The recipe's loss on random crops; the shipped weights are their moving average.

    Parameters
    ----------
    recipe
        Its data is read and brought to the working scale here.
    device
        Where to train.
    """

    titles = ("image", "truth", "found")
    shipped = "average"

    def __init__(self, recipe: Recipe, device: Device) -> None:
        self.recipe, self.device = recipe, device
        network = recipe_network(recipe)
        network = to_device(network, device)
        self.average: TileExactNetwork = copy.deepcopy(network).eval()
        self.modules: dict[str, nn.Module] = {"network": network, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "network": torch.optim.AdamW(
                network.parameters(), weight_decay=recipe.optimisation.weight_decay
            )
        }
        self.parts = 1
        self.greys = SPARSE if recipe.contrast == "fluorescence" else USUAL
        train, self.held_out, self.kept_back = _load(recipe)
        for image in (*self.held_out, *self.kept_back):
            scale_to(image, recipe.pixel_size)  # what it says is said now, not at the end
        pool, made = None, []
        for source in (recipe.data, recipe.made):
            if isinstance(source, SurrogateData):
                pool = SurrogatePool(source, recipe.classes)
            elif source is recipe.made and source is not None:
                made = make_micrographs(
                    em_contrast(recipe), **source.model_dump(exclude={"source"})
                )
        planes = [
            plane_at(image, scale_to(image, recipe.pixel_size), self.greys)
            for image in (*train, *made)
        ]
        self._animals = {
            part: sorted({image.animal for image in images})
            for part, images in zip(
                ("train", "validation", "test"), (train, self.held_out, self.kept_back), strict=True
            )
        }
        self.images = len(planes) + (0 if pool is None else pool.data.count)
        self.mixture = Mixture(planes, len(made), pool, recipe.share)
        self.axon_diameter = None
        if self._of_fibres:
            index = FIBRE_CLASSES.index("axon")
            masks = (plane.classes.numpy() == index for plane in planes)
            self.axon_diameter = round(median_axon_diameter(masks), 2)
        self._tiles = [
            Tile(image, fullest_window(image.classes), self.greys) for image in self.held_out
        ]

    @property
    def _of_fibres(self) -> bool:
        return tuple(self.recipe.classes) == FIBRE_CLASSES

    # ------------------------------------------------------------ a step

    def step(self, step: int) -> dict[str, float]:
        """One step of AdamW on the batch of this step, and of the moving average."""
        network, optimiser = self.modules["network"], self.optimisers["network"]
        x, classes = self._batch(step)
        for group in optimiser.param_groups:
            group["lr"] = self._learning_rate(step)
        network.train()
        measure = LOSSES[self.recipe.loss]
        loss = descend_in_parts(
            optimiser,
            self.parts,
            (x, classes),
            lambda crops, truth: measure(network(crops), truth),
        )
        follow_weights(self.average, network, step, self.recipe.optimisation.average)
        return {"loss": loss}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        setting = self.recipe.optimisation
        crops = []
        for index in share(setting.batch):
            rng = np.random.default_rng((self.recipe.seed, step, index))
            plane = self.mixture.draw(rng)
            crops.append(
                random_crop(
                    plane.grey,
                    plane.classes,
                    setting.crop,
                    self.recipe.augmentation,
                    rng,
                    plane.known,
                )
            )
        x = torch.stack([crop for crop, _ in crops])
        classes = torch.stack([truth for _, truth in crops])
        x = x.to(self.device.torch).contiguous(memory_format=self.device.memory_format)
        return x, classes.to(self.device.torch)

    def _learning_rate(self, step: int) -> float:
        setting = self.recipe.optimisation
        rate = setting.learning_rate * min(1.0, (step + 1) / (setting.warm_up + 1))
        if self.recipe.schedule == "constant":
            return rate
        return rate * (1 + math.cos(math.pi * step / setting.steps)) / 2

    # ------------------------------------------------------------ judging

    def validate(self) -> dict[str, float]:
        """How the averaged weights do on the held-out images; nothing where there are none.

        Returns
        -------
        Of fibres the mean Dice per image of axons and of myelin. Of fluorescence the Dice of axons,
        or the F1 of detected boutons, at the threshold at which its mean is highest, and that
        threshold.
        """
        means = _means(map(self._judge, self.held_out, self._tiles))
        if not means or self._of_fibres:
            return {f"val_{name}": float(value) for name, value in means.items()}
        ((name, curve),) = means.items()
        best = int(np.argmax(curve))
        return {f"val_{name}": float(curve[best]), "val_threshold": float(THRESHOLDS[best])}

    def test(self, threshold: float) -> Steps[dict[str, float]]:
        """How the averaged weights do on the test images, at a threshold chosen without them.

        As `validate`; nothing where there are none. Yields Progress over them.
        """
        at, scores = int(np.abs(THRESHOLDS - threshold).argmin()), list[dict[str, Any]]()
        for image in self.kept_back:
            yield Progress(len(scores), len(self.kept_back), "scoring the test images")
            scores.append(self._judge(image))
        means = _means(scores)
        return {name: float(v if self._of_fibres else v[at]) for name, v in means.items()}

    def score(self, values: dict[str, float]) -> float | None:
        """What the weights are chosen by: the mean of what `validate` measured."""
        found = [value for name, value in values.items() if name != "val_threshold"]
        return float(np.mean(found)) if found else None

    def samples(self) -> npt.NDArray[np.uint8] | None:
        """Pictures of a tile of some held-out images, as the last validation saw them.

        uint8 (tiles, 3, H, W, 3): `titles`.
        """
        shown = [tile.pictures(self.recipe.classes) for tile in self._tiles[:_SHOWN]]
        return np.stack(shown) if shown else None

    def _judge(self, image: LabelledImage, tile: Tile | None = None) -> dict[str, Any]:
        """What is measured of an image; of fluorescence, at each threshold."""
        probabilities = run(
            predict_plane(
                self.average,
                image.image,
                (),
                scale=scale_to(image, self.recipe.pixel_size),
                classes=len(self.recipe.classes),
                greys=self.greys,
                device=self.device,
            )
        )
        if self._of_fibres:
            found = class_indices(class_values(probabilities))
        else:
            found = (probabilities[0] >= 128).astype(np.uint8)
        if tile is not None:
            tile.see(found)
        known = image.classes != IGNORED
        if self._of_fibres:
            return {
                f"dice_{name}": dice(found[known] == index, image.classes[known] == index)
                for index, name in enumerate(FIBRE_CLASSES)
                if index > 0
            }
        if tuple(self.recipe.classes) == BOUTON_CLASSES:
            boxes = boxes_of(image.classes > 0, _BOX_MARGIN)
            curve = detection_curve(
                find_boutons(probabilities[0], THRESHOLDS[0]), boxes, THRESHOLDS
            )
            return {"f1_bouton": np.array([each.f1 for each in curve])}
        truth = image.classes[known] == 1
        masks = (label_axons(probabilities[0], each, _SHORTEST) > 0 for each in THRESHOLDS)
        return {"dice_axon": np.array([dice(mask[known], truth) for mask in masks])}

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        """Score the test images, and write the averaged weights with their card."""
        data = self.recipe.data
        training = {
            "images": self.images,
            "split": {part: animals for part, animals in self._animals.items() if animals},
            "licence": data.licence if isinstance(data, FolderData) else "made by this package",
            "device": self.device.torch.type,
        }
        threshold = kept_entry(self.recipe, history).get("val_threshold", 0.5)
        tested = yield from self.test(threshold)
        card = run_card(
            self.recipe,
            history,
            training,
            tested,
            contrast=self.recipe.contrast,
            pixel_size=self.recipe.pixel_size,
            axon_diameter=self.axon_diameter,
            threshold=threshold,
        )
        save_model(path, self.average, card)


def _means(scores: Iterable[dict[str, Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Means over some images of what was measured."""
    scores = list(scores)
    names = scores[0] if scores else ()
    return {name: np.mean([score[name] for score in scores], axis=0) for name in names}


def _load(recipe: Recipe) -> tuple[list[LabelledImage], list[LabelledImage], list[LabelledImage]]:
    """Images to train on, but for surrogates, those to validate on, and those to test on."""
    data = recipe.data
    if isinstance(data, FolderData):
        images = load_labelled(data.root, recipe.classes)
        split = split_by_name({image.animal for image in images}, data.named)
        train, held_out, kept_back = (
            [image for image in images if image.animal in split.get(part, ())] for part in PARTS
        )
        return train, held_out, kept_back
    if isinstance(data, SurrogateData):
        following = range(data.count, data.count + data.held_out)  # images not trained on
        held_out = surrogates(data, recipe.classes, following) if following else []
        return [], held_out, []
    images = make_fields(em_contrast(recipe), data.count, data.side, data.seed)
    return images[:-1], images[-1:], []


def em_contrast(recipe: Recipe) -> Contrast:
    """The contrast of a recipe whose images are electron micrographs, as it has checked itself."""
    assert recipe.contrast != "fluorescence"
    return recipe.contrast
