"""How bright a class is around a pixel: of its own pixels alone, in deviations of the images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_axongen.core.training.planes import Plane
from napari_axongen.core.training.shading import Shading

SIDE = 128


def blobs(rng: np.random.Generator) -> torch.Tensor:
    """Classes 0, 1 and 2 in squares of 8 px."""
    coarse = rng.integers(0, 3, (SIDE // 8, SIDE // 8))
    return torch.from_numpy(np.kron(coarse, np.ones((8, 8)))).float()


def flat(classes: torch.Tensor, levels: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(levels)[classes.long()]


def test_usual_levels_and_their_deviation_between_images_are_found() -> None:
    rng = np.random.default_rng(0)
    planes = []
    for offset in (-0.1, 0.1):
        classes = blobs(rng)
        planes.append(Plane(flat(classes, (0.5, 0.8, 0.3 + offset)), classes))
    shading = Shading.of(planes)
    torch.testing.assert_close(shading.usual, torch.tensor([0.5, 0.8, 0.3]))
    assert float(shading.deviation[0, 2]) == pytest.approx(0.1, rel=0.2)
    assert shading.deviation[0, :2].max() < 0.01


def test_an_image_that_lacks_a_class_does_not_count_for_it() -> None:
    classes = blobs(np.random.default_rng(0))
    none = torch.zeros(SIDE, SIDE)
    planes = [Plane(flat(c, (0.5, 0.8, 0.3)), c) for c in (classes, none)]
    torch.testing.assert_close(Shading.of(planes).usual, torch.tensor([0.5, 0.8, 0.3]))
    alone = Shading.of(planes[1:])
    assert torch.isfinite(alone.shades(*vars(planes[1]).values())).all()


def test_shade_tells_by_how_many_deviations_a_class_is_brighter() -> None:
    classes = blobs(np.random.default_rng(1))
    shading = Shading(torch.tensor([0.5, 0.8, 0.3]), torch.full((2, 3), 0.05))
    found = shading.shades(flat(classes, (0.5, 0.75, 0.4)), classes)
    assert found.shape == (2, SIDE, SIDE)
    for k, expected in enumerate((0.0, -1.0, 2.0)):
        assert float(found[0][classes == k].mean()) == pytest.approx(expected, abs=0.3)
    assert found[1].abs().mean() < 0.3


def test_a_class_is_not_shaded_by_its_neighbours() -> None:
    rng = np.random.default_rng(2)
    classes = blobs(rng)
    shading = Shading(torch.tensor([0.5, 0.8, 0.3]), torch.full((2, 3), 0.05))
    grey = torch.from_numpy(rng.random((SIDE, SIDE), dtype=np.float32))
    changed = torch.where(classes == 0, grey + 0.3, grey)
    one, other = shading.shades(grey, classes), shading.shades(changed, classes)
    torch.testing.assert_close(one[:, classes > 0], other[:, classes > 0])
    assert (other - one)[0, classes == 0].min() > 1


def test_sides_that_are_no_multiple_of_anything_are_taken() -> None:
    shading = Shading(torch.tensor([0.5, 0.8, 0.3]), torch.ones(2, 3))
    assert shading.shades(torch.rand(61, 35), torch.zeros(61, 35)).shape == (2, 61, 35)
