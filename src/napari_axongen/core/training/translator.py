"""Training a translator: a conditional GAN on the target's images and the source's conditions.

There are no pairs of one tissue under two microscopes. But a mask and a structure (`conditioning`)
can be had of any image with labels, so that the target's images make pairs with themselves: from
these the generator learns what its microscope sees. Of the source's images it gets the conditions,
as it will when it translates: there the discriminator asks for the target's looks, and a segmenter
that learns along on the target's images alone for the source's mask (as in SECGAN, Januszewski &
Jain 2019).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.conditioning import (
    CLASS_COUNT,
    SHADES,
    condition,
    from_output,
    noise_window,
    one_hot,
    to_output,
)
from napari_axongen.core.datasets.augment import random_crop, vary_greys
from napari_axongen.core.device import Device
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Steps
from napari_axongen.core.models.card import Card
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import TileExactNetwork, UNet
from napari_axongen.core.networks.discriminator import PatchDiscriminator

from . import parallel
from .adversarial import (
    differentiable_augment,
    discriminator_loss,
    feature_matching,
    generator_loss,
    low_pass,
)
from .averaging import follow_weights
from .building import descend, plateau, recipe_network, run_card, to_device
from .losses import segmentation_loss
from .planes import VARIED, Planes, draw, load_planes, rough_structure, told_of
from .recipe import TranslationRecipe
from .shading import Shading
from .showing import SHOWN, picture_tiles

_CRITIC_RATE = 2e-3
_CRITIC_STEPS = 300  # until what the segmenter says counts in full


@dataclass(frozen=True)
class _Batch:
    """Crops of both sides, the target's first, and what the generator is told of each."""

    real: Tensor  # (n, 1, s, s) in -1..1: the target's alone
    classes: Tensor  # (2 n, s, s)
    condition: Tensor  # (2 n, CHANNELS, s, s)


class TranslationTask:
    """A conditional GAN; the shipped weights are the generator's moving average.

    Parameters
    ----------
    recipe
        Its data is read and brought to the working scale here.
    device
        Where to train.
    """

    shipped = "average"
    titles = ("image", "made")

    def __init__(self, recipe: TranslationRecipe, device: Device) -> None:
        self.recipe, self.device = recipe, device
        generator = recipe_network(recipe)
        self.modules: dict[str, nn.Module] = {
            "generator": generator,
            "discriminator": PatchDiscriminator(in_channels=1 + CLASS_COUNT),
            "critic": UNet(recipe.critic),
        }
        for name, module in self.modules.items():
            self.modules[name] = to_device(module, device)
        self.modules["average"] = copy.deepcopy(self.modules["generator"]).eval()
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.Adam(
                self.modules["generator"].parameters(), betas=(0.5, 0.99)
            ),
            "discriminator": torch.optim.Adam(
                self.modules["discriminator"].parameters(), betas=(0.5, 0.99)
            ),
            "critic": torch.optim.AdamW(self.modules["critic"].parameters(), lr=_CRITIC_RATE),
        }
        self.parts = 1
        self._pictures: list[list[npt.NDArray[np.float32]]] = []
        self.targets = load_planes(recipe.data, recipe.axon_diameter)
        self.sources = load_planes(recipe.sources, recipe.axon_diameter)
        self.shading = Shading.of(self.targets.train)

    # ------------------------------------------------------------ a step

    def step(self, step: int) -> dict[str, float]:
        """Train critic, discriminator and generator, in this order, on the batch of this step."""
        setting = self.recipe.optimisation
        for name in ("generator", "discriminator"):
            for group in self.optimisers[name].param_groups:
                group["lr"] = setting.learning_rate * plateau(step, setting.steps, setting.warm_up)
        rng = parallel.generator(self.recipe.seed, step)
        batch = self._batch(rng)
        losses = {}
        if step % 2 == 0:  # it learns fast enough
            losses["critic"] = self._train_critic(batch, rng)
        made = self._run("generator", batch.condition).float()
        real, fake = self._shown(batch, made, rng)
        losses["discriminator"] = self._train_discriminator(real, fake.detach())
        losses |= self._train_generator(batch, made, real, fake, min(1, step / _CRITIC_STEPS))
        follow_weights(self.modules["average"], self.modules["generator"], step, setting.average)
        return losses

    def _run(self, name: str, x: Tensor) -> Any:
        """A module on a batch: in bfloat16 where it convolves, on a GPU that has it."""
        with self.device.mixed_precision():
            return self.modules[name](x)

    def _shown(
        self, batch: _Batch, made: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """What the discriminator is shown: real images (n), and made ones (2 n), pairs first.

        The mask is shown with some of the pairs, never with the source's: their masks alone would
        give them away.
        """
        half = len(batch.real)
        shown = torch.from_numpy(rng.random(half) < 0.5).to(made.device)
        shown = torch.cat([shown, torch.zeros_like(shown)]).view(-1, 1, 1, 1)
        mask = one_hot(batch.classes) * shown
        key = int(rng.integers(2**62))  # pairs are changed alike
        real = torch.cat([batch.real, mask[:half]], 1)
        fake = torch.cat([made, mask], 1)
        pairs, others = (
            differentiable_augment(part, np.random.default_rng(key + index))
            for index, part in enumerate((fake[:half], fake[half:]))
        )
        return differentiable_augment(real, np.random.default_rng(key)), torch.cat([pairs, others])

    def _train_critic(self, batch: _Batch, rng: np.random.Generator) -> float:
        """One step of the segmenter on the target's images, their grey values varied."""
        self.modules["critic"].train()
        x = torch.cat([vary_greys(from_output(x[None]).cpu(), VARIED, rng) for x in batch.real])
        logits = self._run("critic", x.to(batch.real))
        loss = segmentation_loss(logits.float(), batch.classes[: len(batch.real)])
        descend(self.optimisers["critic"], loss)
        return loss.item()

    def _train_discriminator(self, real: Tensor, fake: Tensor) -> float:
        verdicts = (self._run("discriminator", x)[-1].float() for x in (real, fake))
        loss = discriminator_loss(*verdicts)
        descend(self.optimisers["discriminator"], loss)
        return loss.item()

    def _train_generator(
        self, batch: _Batch, made: Tensor, real: Tensor, fake: Tensor, trust: float
    ) -> dict[str, float]:
        """One step of the generator; ``trust`` is how far the critic counts yet, 0 to 1."""
        half = len(batch.real)
        self.modules["critic"].eval()
        for name in ("discriminator", "critic"):
            self.modules[name].requires_grad_(False)
        seen_real, seen_fake = self._run("discriminator", real), self._run("discriminator", fake)
        found = self._run("critic", from_output(made[half:]))
        losses = {
            "adversarial": generator_loss(seen_fake[-1].float()),
            "matching": feature_matching(
                seen_real[:-1], [layer[:half] for layer in seen_fake[:-1]]
            ),
            "grey": (low_pass(made[:half]) - low_pass(batch.real)).abs().mean(),
            "pixel": (made[:half] - batch.real).abs().mean(),
            "segmentation": segmentation_loss(found.float(), batch.classes[half:]),
        }
        for name in ("discriminator", "critic"):
            self.modules[name].requires_grad_(True)
        weights = self.recipe.losses.model_dump()
        weights["segmentation"] *= trust
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        descend(self.optimisers["generator"], total)
        return {"loss": total.item()} | {name: loss.item() for name, loss in losses.items()}

    # ------------------------------------------------------------ crops

    def _batch(self, rng: np.random.Generator) -> _Batch:
        setting = self.recipe.optimisation
        half = max(1, setting.batch // 2)
        real, classes, conditions = [], [], []
        for planes in (self.targets, self.sources):
            for _ in range(half):
                plane = draw(planes.train, rng)
                x, truth = random_crop(
                    plane.grey, plane.classes, setting.crop, self.recipe.augmentation, rng
                )
                conditions.append(self._told(x, truth, rng, pair=planes is self.targets))
                classes.append(truth)
                if planes is self.targets:
                    real.append(to_output(x))
        device, layout = self.device.torch, self.device.memory_format
        return _Batch(
            torch.stack(real).to(device),
            torch.stack(classes).to(device),
            torch.cat(conditions).to(device).contiguous(memory_format=layout),
        )

    def _told(
        self, grey: Tensor, classes: Tensor, rng: np.random.Generator, *, pair: bool
    ) -> Tensor:
        """The condition of a crop, some of it left out; with a pair, the shade is the crop's own.

        Without its mask it is not: where axons are dark, a dark shade would give them away.
        """
        odds = self.recipe.conditions
        chances = np.array([odds.both, odds.mask, odds.structure])
        kind = rng.choice(3, p=chances / chances.sum())
        corner = rng.integers(0, 1000, 2)
        rows, columns = (
            slice(int(start), int(start) + length)
            for start, length in zip(corner, classes.shape, strict=True)
        )
        mask = classes[None] if kind != 2 else None
        noise = noise_window(int(rng.integers(2**31)), 0, rows, columns, mask)
        if pair and mask is not None:
            noise[0, :SHADES] = self.shading.shades(grey[0], classes)
        structure = None
        if kind != 1:
            structure = rough_structure(grey, odds.noise, rng)
        return condition(mask, structure, noise)

    # ------------------------------------------------------------ judging, saving

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Dice of what the critic sees in held-out sources, translated, against their masks."""
        critic, average = self.modules["critic"].eval(), self.modules["average"]
        assert isinstance(average, TileExactNetwork)
        scores: dict[str, list[float]] = {}
        self._pictures = []
        for plane in self.sources.held_out:
            for name, told in told_of(plane, average.stride).items():
                made = average(told.to(self.device.torch))
                height, width = plane.classes.shape
                if name == "both":
                    grey = from_output(made)[0, 0, :height, :width].cpu()
                    self._pictures.append([plane.grey.numpy(), grey.numpy()])
                found = critic(from_output(made)).argmax(1)[0, :height, :width].cpu()
                for index in (FIBRE_CLASSES.index("axon"), FIBRE_CLASSES.index("myelin")):
                    score = dice((found == index).numpy(), (plane.classes == index).numpy())
                    scores.setdefault(f"val_{name}_{FIBRE_CLASSES[index]}", []).append(score)
        return {name: float(np.mean(values)) for name, values in scores.items()}

    def score(self, values: dict[str, float]) -> None:
        """Nothing: a mask is soon found again, be the image ever so unreal. The last are kept."""

    def samples(self) -> npt.NDArray[np.uint8] | None:
        """Held-out images and what was last made of their masks and structures."""
        return picture_tiles(self._pictures[:SHOWN])

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        """Write the averaged generator with its card."""
        yield from ()  # nothing is kept back for it
        card = translator_card(self.recipe, self.targets, self.device.torch.type, history)
        save_model(path, self.modules["average"], card, "float16")


def translator_card(
    recipe: TranslationRecipe,
    targets: Planes,
    device: str,
    history: list[dict[str, float]],
) -> Card:
    """Card of a translator that was trained by a recipe."""
    training = {
        "images": len(targets.train),
        "licence": sorted({recipe.data.licence, recipe.sources.licence}),
        "device": device,
    }
    return run_card(
        recipe,
        history,
        training,
        contrast=recipe.contrast,
        source=recipe.source,
        axon_diameter=recipe.axon_diameter,
        grey_range=targets.grey_range,
    )
