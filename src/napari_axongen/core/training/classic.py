"""The reference's way of training its networks (pix2pix, Isola et al. 2017, section 3).

Adam at a constant rate, batches of one, 150 epochs; the discriminator takes its step first, on the
mean of its two losses, then the generator on its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_axongen.core.conditioning import condition, from_output, to_output
from napari_axongen.core.datasets.augment import random_crop
from napari_axongen.core.device import Device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Steps
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import TileExactNetwork
from napari_axongen.core.networks.classic import ClassicDiscriminator

from . import parallel
from .building import descend, recipe_network
from .planes import Plane, draw, load_planes, told_of
from .recipe import TranslationRecipe
from .showing import SHOWN, picture_tiles
from .translator import translator_card

LEARNING_RATE = 2e-4
"""The reference's; a recipe says its own."""

BETAS = (0.5, 0.999)
L1_WEIGHT = 100.0


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the verdicts (logits) on real and made patches: their mean."""
    losses = [
        functional.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, truth))
        for verdict, truth in ((real, 1.0), (fake, 0.0))
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: Tensor, made: Tensor, image: Tensor) -> Tensor:
    """Cross-entropy of verdicts that should be "real", and `L1_WEIGHT` times the L1 distance.

    Parameters
    ----------
    fake
        Logits of the discriminator on what was made.
    made, image
        (N, 1, H, W), what was made and the real image of the same mask.
    """
    fooled = functional.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))
    return fooled + L1_WEIGHT * functional.l1_loss(made, image)


class ClassicTask:
    """Mask to image, on the target's images alone, as the reference trains it.

    The source's images, the losses and the conditions of the recipe are not used.

    Parameters
    ----------
    recipe
        Of the network ``classic``; crops must be multiples of its tile. Its data is read here.
    device
        Where to train.
    """

    shipped = "generator"
    titles = ("image", "made")

    def __init__(self, recipe: TranslationRecipe, device: Device) -> None:
        self.recipe, self.device = recipe, device
        self.generator = recipe_network(recipe)
        if recipe.optimisation.crop % self.generator.stride:
            raise InputError(
                f"Recipe '{recipe.name}': crops of {recipe.optimisation.crop} px are no multiple "
                f"of the network's tile of {self.generator.stride} px."
            )
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator.to(device.torch),
            "discriminator": ClassicDiscriminator(width=int(recipe.network.get("width", 64))).to(
                device.torch
            ),
        }
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                module.parameters(), lr=recipe.optimisation.learning_rate, betas=BETAS
            )
            for name, module in self.modules.items()
        }
        self.parts = 1
        self._pictures: list[list[npt.NDArray[np.float32]]] = []
        self.targets = load_planes(recipe.data, recipe.axon_diameter)

    def step(self, step: int) -> dict[str, float]:
        """Train discriminator and generator, in this order, on the batch of this step."""
        generator, discriminator = (self.modules[n].train() for n in ("generator", "discriminator"))
        told, image = self._batch(step)
        made = generator(told)
        judged = discriminator_loss(discriminator(told, image), discriminator(told, made.detach()))
        descend(self.optimisers["discriminator"], judged)
        discriminator.requires_grad_(False)
        loss = generator_loss(discriminator(told, made), made, image)
        discriminator.requires_grad_(True)
        descend(self.optimisers["generator"], loss)
        return {"loss": loss.item(), "discriminator": judged.item()}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        setting, rng = self.recipe.optimisation, parallel.generator(self.recipe.seed, step)
        crops = []
        for _ in range(setting.batch):
            plane = draw(self.targets.train, rng)
            crops.append(
                random_crop(plane.grey, plane.classes, setting.crop, self.recipe.augmentation, rng)
            )
        image = to_output(torch.stack([x for x, _ in crops])).to(self.device.torch)
        classes = torch.stack([y for _, y in crops]).to(self.device.torch)
        return condition(classes, None, torch.zeros_like(image)), image

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """L1 distance to the held-out images of the target; nothing where there are none."""
        generator, self._pictures = self.generator.eval(), []
        distances = [self._distance(generator, plane) for plane in self.targets.held_out]
        return {"val_l1": float(np.mean(distances))} if distances else {}

    def score(self, values: dict[str, float]) -> None:
        """Nothing: a small distance is soon had by blurring. The last weights are kept."""

    def samples(self) -> npt.NDArray[np.uint8] | None:
        """Held-out images and what was last made of their masks."""
        return picture_tiles(self._pictures[:SHOWN])

    def _distance(self, generator: TileExactNetwork, plane: Plane) -> float:
        height, width = plane.classes.shape
        made = generator(told_of(plane, generator.stride)["mask"].to(self.device.torch))
        made = made[0, 0, :height, :width].cpu()
        self._pictures.append([plane.grey.numpy(), from_output(made).numpy()])
        difference = made - to_output(plane.grey)
        return float(difference.abs().mean())

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        """Write the generator with its card."""
        yield from ()  # nothing is kept back for it
        card = translator_card(self.recipe, self.targets, self.device.torch.type, history)
        save_model(path, self.generator, card, "float16")
