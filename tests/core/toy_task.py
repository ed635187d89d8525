"""A task that trains in milliseconds: to blur. As a program, it trains in several processes.

``python -m torch.distributed.run --nproc-per-node 2 -m tests.core.toy_task FOLDER``
"""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from napari_axongen.core.events import Progress, Steps, run
from napari_axongen.core.files import write_bytes
from napari_axongen.core.training import Recipe, parallel
from napari_axongen.core.training.averaging import follow_weights
from napari_axongen.core.training.building import descend_in_parts
from napari_axongen.core.training.loop import train

RECIPE: dict[str, Any] = {
    "name": "toy",
    "contrast": "TEM",
    "network": {"name": "unet", "channels": [4, 6]},
    "data": {"source": "em-fields", "count": 2, "side": 64},
    "optimisation": {"steps": 12, "batch": 4, "crop": 16, "learning_rate": 0.01},
    "validate_every": 2,
    "checkpoint_seconds": 1000,
    "seed": 3,
}


def recipe(**changes: Any) -> Recipe:
    """The recipe with some entries changed; `steps` and `batch` among them."""
    setting = {k: changes.pop(k) for k in ("steps", "batch") if k in changes}
    optimisation = RECIPE["optimisation"] | setting
    return Recipe.model_validate(RECIPE | {"optimisation": optimisation} | changes)


class Toy:
    """A convolution that learns to blur noise.

    Parameters
    ----------
    recipe
        Its seed, batch and learning rate count.
    scores
        What validation measures after a step, by that step's number; others: nothing is held out.
    plain
        Without batch normalisation and dropout: then parts of a batch add up to the whole.
    """

    shipped = "average"
    titles = ("image", "found")

    def __init__(
        self, recipe: Recipe, scores: dict[int, float] | None = None, plain: bool = False
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.scores, self.parts, self.done = recipe, scores or {}, 1, 0
        between = [] if plain else [nn.BatchNorm2d(4), nn.Dropout(0.2)]
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *between, nn.Conv2d(4, 1, 1))
        self.modules: dict[str, nn.Module] = {
            "network": network,
            "average": copy.deepcopy(network).eval(),
        }
        rate = recipe.optimisation.learning_rate
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "network": torch.optim.AdamW(network.parameters(), lr=rate)
        }

    def loss(self, x: Tensor) -> Tensor:
        """Squared distance to the blurred noise."""
        blurred = functional.avg_pool2d(x, 3, 1, 1)
        return functional.mse_loss(self.modules["network"](x), blurred)

    def step(self, step: int) -> dict[str, float]:
        crops = [
            np.random.default_rng((self.recipe.seed, step, index)).random((1, 16, 16), np.float32)
            for index in parallel.share(self.recipe.optimisation.batch)
        ]
        self.modules["network"].train()
        x = torch.from_numpy(np.stack(crops))
        loss = descend_in_parts(self.optimisers["network"], self.parts, [x], self.loss)
        follow_weights(self.modules["average"], self.modules["network"], step, 0.9)
        self.done = step + 1
        return {"loss": loss}

    def validate(self) -> dict[str, float]:
        return {"val_x": self.scores[self.done]} if self.done in self.scores else {}

    def score(self, values: dict[str, float]) -> float | None:
        return values.get("val_x")

    def samples(self) -> npt.NDArray[np.uint8] | None:
        return np.full((1, 2, 4, 4, 3), self.done, np.uint8) if self.scores else None

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        yield from ()
        write_bytes(path, save(self.modules[self.shipped].state_dict(), {"n": str(len(history))}))

    def digest(self) -> str:
        """Hash of the network, its running statistics included."""
        return hashlib.sha256(save(self.modules["network"].state_dict())).hexdigest()


def _together(out: Path) -> None:
    """Train in these processes: plain; with batch normalisation; and so, but stopped half-way."""
    scores = {4: 1.0}
    with parallel.processes("cpu"):
        plain = recipe(validate_every=1, batch=2)
        run(train(Toy(plain, plain=True), plain, out / "plain"))
        whole = Toy(recipe(batch=2), scores)
        run(train(whole, whole.recipe, out / "whole"))
        write_bytes(out / f"digest{parallel.rank()}", whole.digest().encode())
        steps = train(Toy(whole.recipe, scores), whole.recipe, out / "parts")
        for event in steps:
            if isinstance(event, Progress) and event.done == 5:
                break
        steps.close()
        run(train(Toy(whole.recipe, scores), whole.recipe, out / "parts", resume=True))


if __name__ == "__main__":
    _together(Path(sys.argv[1]))
