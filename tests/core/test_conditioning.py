"""What a translator is conditioned on: the same for every tile, for both polarities, by seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_axongen.core.conditioning import (
    CHANNELS,
    GRAINS,
    SHADES,
    SIGMAS,
    STRUCTURE_RADIUS,
    Ranks,
    condition,
    from_output,
    gradients,
    noise_window,
    to_output,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def test_gradients_are_those_of_scipy() -> None:
    grey = random(1, 1, 80, 90)
    found = gradients(grey)[0].numpy()
    for sigma, magnitude in zip(SIGMAS, found, strict=True):
        expected = ndimage.gaussian_gradient_magnitude(grey[0, 0].numpy(), sigma, mode="nearest")
        # scipy's kernels are of unit sum and slope only before they are cut off at 4 sigma
        np.testing.assert_allclose(magnitude, expected, rtol=0.01, atol=1e-4)


def test_structure_has_no_sign() -> None:
    grey = random(1, 1, 64, 64)
    torch.testing.assert_close(gradients(1 - grey), gradients(grey), atol=1e-6, rtol=0)


def test_gradients_look_no_further_than_said() -> None:
    grey = random(1, 1, 61, 61)
    changed = grey.clone()
    changed[..., 30, 30] += 1
    rows, columns = np.nonzero((gradients(grey) != gradients(changed))[0].any(0).numpy())
    reach = max(np.abs(rows - 30).max(), np.abs(columns - 30).max())
    assert 0 < reach <= STRUCTURE_RADIUS


def test_ranks_give_any_image_one_histogram() -> None:
    for power in (0.3, 1, 2):
        magnitudes = random(2, len(SIGMAS), 64, 64) ** power * 10
        ranks = Ranks.of(magnitudes).apply(magnitudes)
        assert ranks.shape == magnitudes.shape
        assert ranks.min() == -1
        assert ranks.max() == 1
        expected = torch.linspace(-1, 1, ranks[:, 0].numel())
        for channel in range(len(SIGMAS)):
            values = ranks[:, channel].flatten().sort().values
            torch.testing.assert_close(values, expected, atol=0.01, rtol=0)


def test_ranks_keep_the_order_and_are_capped_beyond_the_sample() -> None:
    ranks = Ranks.of(random(1, 2, 50, 50))
    ramp = torch.linspace(-0.5, 1.5, 400).expand(1, 2, 1, 400)
    found = ranks.apply(ramp)
    assert (found.diff(dim=-1) >= 0).all()
    assert found[..., 0].max() == -1
    assert found[..., -1].min() == 1


def test_rounding_errors_in_flat_parts_stay_small() -> None:
    magnitudes = random(1, 2, 64, 64)
    magnitudes[..., :40] = 0
    ranks = Ranks.of(magnitudes)
    noisy = magnitudes + 1e-7 * random(1, 2, 64, 64, seed=1)
    assert (ranks.apply(noisy) - ranks.apply(magnitudes)).abs().max() < 1e-4


def test_parts_that_are_not_given_are_zero() -> None:
    classes = torch.randint(0, 3, (2, 8, 9), generator=torch.Generator().manual_seed(0))
    structure, noise = random(2, 2, 8, 9), random(2, 3, 8, 9, seed=1)
    whole = condition(classes, structure, noise)
    assert whole.shape == (2, CHANNELS, 8, 9)
    assert torch.equal(whole[:, :3].argmax(1), classes)
    assert torch.equal(whole[:, :3].sum(1), torch.ones(2, 8, 9))
    assert torch.equal(whole[:, 3:5], structure)
    assert torch.equal(whole[:, 5:], noise)
    assert not condition(None, structure, noise)[:, :3].any()
    assert not condition(classes, None, noise)[:, 3:5].any()


def test_outputs_stand_for_grey_values() -> None:
    grey = torch.linspace(-0.25, 1.25, 11)
    torch.testing.assert_close(from_output(to_output(grey)), grey)
    assert to_output(torch.tensor([-3.0, 3.0])).tolist() == [-1, 1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 1), slice(0, 1)), (slice(250, 260), slice(5, 600)), (slice(511, 530), slice(0, 9))],
)
def test_a_window_of_noise_is_cut_from_one_field(rows: slice, columns: slice, masked: bool) -> None:
    classes = (3 * random(1, 600, 640)).long() if masked else None
    field = noise_window(7, 2, slice(0, 600), slice(0, 640), classes)
    assert field.shape == (1, len(GRAINS), 600, 640)
    part = classes[:, rows, columns] if classes is not None else None
    torch.testing.assert_close(noise_window(7, 2, rows, columns, part), field[..., rows, columns])


def test_noise_is_keyed_by_seed_and_plane_and_white_in_its_last_channel() -> None:
    rows, columns = slice(0, 512), slice(0, 512)
    field = noise_window(0, 0, rows, columns)[0, -1]
    assert abs(float(field.mean())) < 0.01
    assert abs(float(field.std()) - 1) < 0.01
    for seed, plane in ((1, 0), (0, 1)):
        other = noise_window(seed, plane, rows, columns)[0, -1]
        assert abs(float((field * other).mean())) < 0.01
    assert abs(float((field[:256] * field[256:]).mean())) < 0.01


def test_noise_has_its_grains() -> None:
    field = noise_window(0, 0, slice(0, 2000), slice(0, 2000))[0]
    field[0] = (field[0] - field[0].mean()) / 0.5**0.5  # half of it is common to the plane
    for channel, grain in zip(field, GRAINS, strict=True):
        assert float(channel.std()) == pytest.approx(1, abs=0.08)
        near = float((channel[:, :-1] * channel[:, 1:]).mean())
        far = float((channel[:, : -2 * grain] * channel[:, 2 * grain :]).mean())
        assert abs(far) < 0.1
        assert near > 0.9 if grain > 1 else abs(near) < 0.01


def test_each_class_has_a_shade_of_its_own() -> None:
    rows, columns = slice(0, 256), slice(0, 256)
    shades = []
    for k in range(3):
        found = noise_window(3, 0, rows, columns, torch.full((1, 256, 256), k))
        shades.append(found[0, :SHADES].flatten())
    correlation = np.corrcoef(np.concatenate([s.reshape(SHADES, -1) for s in shades]))
    assert np.abs(correlation - np.eye(3 * SHADES)).max() < 0.4  # 25 knots of the coarse ones


def test_how_bright_a_class_is_belongs_to_the_seed_and_stays_over_a_stack() -> None:
    rows, columns = slice(0, 1500), slice(0, 1500)

    def brightness(seed: int, plane: int) -> float:
        return float(noise_window(seed, plane, rows, columns)[0, 0].mean())

    found = [brightness(seed, 0) for seed in range(12)]
    assert 0.4 < np.std(found) < 1.0
    assert np.mean([abs(brightness(s, 1) - found[s]) for s in range(4)]) < 0.1


def test_variety_is_that_of_the_shade_alone() -> None:
    window = 5, 0, slice(0, 60), slice(0, 70)
    usual, strong, none = (noise_window(*window, None, variety) for variety in (1, 2, 0))
    torch.testing.assert_close(strong[:, :SHADES], 2 * usual[:, :SHADES])
    assert not none[:, :SHADES].any()
    assert torch.equal(none[:, SHADES:], usual[:, SHADES:])
