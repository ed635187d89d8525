"""Training a denoiser: one network for both microscopes, with and without what it may be told.

It learns from each microscope's images alone, told their own masks and structures (`conditioning`),
either of which may be left out, as may the microscope. To translate is then to tell it the source's
mask and structure, and the target's microscope. The reference's network is trained likewise, told
nothing.
"""

from __future__ import annotations

import copy
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_axongen.core.baselines import grey_quantiles
from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.conditioning import condition, from_output, to_output, white_noise
from napari_axongen.core.datasets.augment import random_crop
from napari_axongen.core.device import Device
from napari_axongen.core.diffusion import process
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Steps
from napari_axongen.core.models.card import Looks
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import DOMAINS, DiffusionNetwork

from . import parallel
from .averaging import follow_weights
from .building import descend_in_parts, plateau, recipe_network, run_card, to_device
from .planes import Plane, Planes, draw, load_planes, rough_structure
from .recipe import DiffusionRecipe
from .showing import SHOWN, class_colours, fullest_window, picture_tiles

_LEVELS_OF_GREY = 32
_LEVELS = 16  # at which a held-out image is judged
_SHOWN_LEVEL = 0.5  # to which one is noised to be looked at


class DiffusionTask:
    """A denoiser; the shipped weights are their moving average.

    Parameters
    ----------
    recipe
        Its data is read and brought to the working scale here.
    device
        Where to train.

    Raises
    ------
    InputError
        The network is no denoiser, or crops do not fit it; the data cannot be read.
    """

    shipped = "average"
    titles = ("image", "mask", "noised", "restored")

    def __init__(self, recipe: DiffusionRecipe, device: Device) -> None:
        self.recipe, self.device = recipe, device
        network = recipe_network(recipe)
        if not isinstance(network, DiffusionNetwork):
            raise InputError(
                f"Recipe '{recipe.name}': network '{recipe.network['name']}' is no denoiser."
            )
        if recipe.optimisation.crop % network.stride:
            raise InputError(
                f"Recipe '{recipe.name}': crops of {recipe.optimisation.crop} px are no multiple "
                f"of the {network.stride} px that the network needs."
            )
        self.network = to_device(network, device)
        self.average: DiffusionNetwork = copy.deepcopy(self.network).eval()
        self.modules: dict[str, nn.Module] = {"network": self.network, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "network": torch.optim.AdamW(
                network.parameters(), weight_decay=recipe.optimisation.weight_decay
            )
        }
        self.parts = 1
        self.process = process(network.objective)
        self.data = {
            name: load_planes(animals, recipe.axon_diameter)
            for name, animals in recipe.data.items()
        }

    def step(self, step: int) -> dict[str, float]:
        """One step of AdamW on the batch of this step, and of the moving average."""
        setting = self.recipe.optimisation
        for group in self.optimisers["network"].param_groups:
            group["lr"] = setting.learning_rate * plateau(step, setting.steps, setting.warm_up)
        rng = parallel.generator(self.recipe.seed, step)
        images, told, domains = self._batch(rng)
        count = len(images)
        # one of each part of the levels: steadier than by chance
        levels = torch.from_numpy((rng.permutation(count) + rng.random(count)) / count).float()
        loss = descend_in_parts(
            self.optimisers["network"],
            self.parts,
            (images, told, domains, levels),
            partial(self._loss, self.network, rng=rng),
        )
        follow_weights(self.average, self.network, step, setting.average)
        return {"loss": loss}

    def _loss(
        self,
        network: DiffusionNetwork,
        images: Tensor,
        told: Tensor,
        domains: Tensor,
        levels: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        """Weighted squared error; ``told`` is the condition without the noisy image."""
        noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
        device = self.device.torch
        images, noise, levels = (x.to(device) for x in (images, noise, levels))
        images = (images - network.centre) / network.spread
        noisy = self.process.noised(images, noise, levels)
        made = self._call(network, told, noisy, self.process.told(levels), domains)
        errors = (made - self.process.target(images, noise, levels)).square()
        loss: Tensor = (errors.mean((1, 2, 3)) * self.process.weights(levels)).mean()
        return loss

    def _call(
        self, network: DiffusionNetwork, told: Tensor, noisy: Tensor, level: Tensor, domain: Tensor
    ) -> Tensor:
        """What the network returns for noisy images, which are on its device."""
        x = torch.cat([told.to(noisy), noisy], 1)
        x = x.contiguous(memory_format=self.device.memory_format)
        with self.device.mixed_precision():
            made: Tensor = network(x, level, domain.to(noisy.device))
        return made.float()

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images (n, 1, s, s), what is told of them, and their domains (n,)."""
        setting, odds = self.recipe.optimisation, self.recipe.conditions
        images, told, domains = [], [], []
        for index in range(setting.batch):
            name = list(self.data)[index % len(self.data)]
            plane = draw(self.data[name].train, rng)
            x, truth = random_crop(
                plane.grey, plane.classes, setting.crop, self.recipe.augmentation, rng
            )
            images.append(to_output(x))
            told.append(self._told(x, truth, rng))
            domains.append(0 if rng.random() < odds.domain else DOMAINS.index(name))
        return torch.stack(images), torch.cat(told), torch.tensor(domains)

    def _told(self, grey: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:
        """The condition (1, n, s, s) of a crop, some of it left out, without the noisy image."""
        odds, noisy = self.recipe.conditions, grey.new_zeros(1, 0, *grey.shape[1:])
        if not self.network.conditional:
            return condition(None, None, noisy)
        chances = np.array([odds.both, odds.mask, odds.structure, odds.nothing])
        kind = rng.choice(4, p=chances / chances.sum())
        mask = classes[None] if kind in (0, 1) else None
        structure = rough_structure(grey, odds.noise, rng) if kind in (0, 2) else None
        return condition(mask, structure, noisy)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """The loss on held-out images, told their masks, over fixed levels and noise."""
        scores = {}
        for name, planes in self.data.items():
            losses = [self._held_out(name, plane.grey, plane.classes) for plane in planes.held_out]
            if losses:
                scores[f"val_loss_{name}"] = float(np.mean(losses))
        return scores

    def score(self, values: dict[str, float]) -> float | None:
        """What the weights are chosen by: the mean loss, the lower the better."""
        return -float(np.mean(list(values.values()))) if values else None

    @torch.inference_mode()
    def samples(self) -> npt.NDArray[np.uint8] | None:
        """Tiles of held-out images of each microscope in turn, noised, and restored in one call.

        To make an image out of noise alone would take as long as many steps.
        """
        turns = zip_longest(*([(n, p) for p in each.held_out] for n, each in self.data.items()))
        planes = [one for turn in turns for one in turn if one is not None]
        large = [one for one in planes if min(one[1].classes.shape) >= self.average.stride]
        return picture_tiles(
            [self._restored(index, *one) for index, one in enumerate(large[:SHOWN])]
        )

    def _restored(self, index: int, name: str, plane: Plane) -> list[npt.NDArray[np.float32]]:
        """Pictures of the fullest tile of a held-out plane: see `titles`."""
        stride, network = self.average.stride, self.average
        mask = plane.classes.numpy().astype(np.uint8)
        rows, columns = (
            slice(part.start, part.start + (part.stop - part.start) // stride * stride)
            for part in fullest_window(mask)
        )
        image = to_output(plane.grey[None, None, rows, columns]).to(self.device.torch)
        noise = white_noise(self.recipe.seed, index, rows, columns).to(image)
        way = self.process.way(self.process.samplers[0], 1, _SHOWN_LEVEL)
        noisy = way.image * (image - network.centre) / network.spread + way.noise * noise
        told = condition(plane.classes[None, rows, columns], None, image[:, :0].cpu())
        level, domain = torch.tensor(way.told).to(image), torch.tensor([DOMAINS.index(name)])
        made = self._call(network, told, noisy, level, domain)
        made = way.sampler.estimate(made, noisy, 0)
        seen, restored = (
            from_output(x * network.spread + network.centre)[0, 0].cpu().numpy()
            for x in (noisy, made)
        )
        grey = plane.grey[rows, columns].numpy()
        return [grey, class_colours(mask[rows, columns], FIBRE_CLASSES), seen, restored]

    def _held_out(self, name: str, grey: Tensor, classes: Tensor) -> float:
        stride = self.average.stride
        height, width = (length // stride * stride for length in grey.shape)
        image = to_output(grey[None, None, :height, :width])
        told = condition(classes[None, :height, :width], None, image[:, :0])
        rng = np.random.default_rng(self.recipe.seed)
        domain = torch.tensor([DOMAINS.index(name)])
        losses = [
            self._loss(self.average, image, told, domain, torch.tensor([level]), rng).item()
            for level in (np.arange(_LEVELS) + 0.5).astype(np.float32) / _LEVELS
        ]
        return float(np.mean(losses))

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        """Write the averaged weights with their card."""
        yield from ()  # nothing is kept back for it
        training = {
            "images": {name: len(planes.train) for name, planes in self.data.items()},
            "licence": sorted({animals.licence for animals in self.recipe.data.values()}),
            "device": self.device.torch.type,
        }
        card = run_card(
            self.recipe,
            history,
            training,
            axon_diameter=self.recipe.axon_diameter,
            looks={name: _looks(planes) for name, planes in self.data.items()},
        )
        save_model(path, self.average, card, "float16")


def _looks(planes: Planes) -> Looks:
    """Grey range and quantiles of images, each counting alike."""
    found = grey_quantiles((plane.grey.numpy() for plane in planes.train), _LEVELS_OF_GREY)
    return Looks(grey_range=planes.grey_range, quantiles=[round(float(x), 4) for x in found])
