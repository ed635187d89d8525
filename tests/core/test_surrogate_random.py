"""Random numbers of the surrogate model: uniform, normal, and nothing to do with one another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import chisquare, kstest

from napari_axongen.core.surrogate.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Number,
    Uniform,
)
from napari_axongen.core.surrogate.parameters import AxonParameters
from napari_axongen.core.surrogate.pixels import PixelDraws, pixel_keys
from napari_axongen.core.surrogate.random import Draws, image_keys

N = 1 << 14
CHANCE = 1e-4  # of a sound generator to fail; the seeds are fixed, so it does not


def draws(images: int, seed: int = 0, first: int = 0) -> Draws:
    return Draws(image_keys(seed, range(first, first + images)))


def pixel_draws(images: int, seed: int = 0) -> PixelDraws:
    return PixelDraws(pixel_keys(draws(images, seed).keys))


def assert_uncorrelated(rows: np.ndarray) -> None:
    """No two of the rows have to do with one another: r is normal of variance 1/N then."""
    count, length = rows.shape
    r = np.corrcoef(rows)[np.triu_indices(count, 1)] * math.sqrt(length)
    assert abs(r).max() < math.sqrt(2 * math.log(len(r) / CHANCE))
    if len(r) > 100:
        assert kstest(r, "norm").pvalue > CHANCE


def assert_white(row: np.ndarray) -> None:
    """The spectrum is flat: its ordinates are exponential, and none stands out."""
    power = abs(np.fft.rfft(row - row.mean()))[1:-1] ** 2
    power /= power.mean()
    assert kstest(power, "expon").pvalue > CHANCE
    assert power.max() < math.log(len(power) / CHANCE)


# ------------------------------------------------------------ uniform


SEQUENCES: dict[str, Callable[[], np.ndarray]] = {
    "counter": lambda: draws(1).uniform("a", N).ravel(),
    "image": lambda: draws(N).uniform("a", 1).ravel(),
    "seed": lambda: np.array([draws(1, seed).uniform("a", 1).item() for seed in range(1, 2000)]),
    "name": lambda: np.array([draws(1).uniform(f"try {i}", 1).item() for i in range(2000)]),
    "object": lambda: draws(1).children("bouton", N).uniform("a", 1).ravel(),
    "kind": lambda: np.array(
        [draws(1).children(f"x{i}", 1).uniform("a").item() for i in range(2000)]
    ),
}
"""Numbers along each thing that they depend on."""


@pytest.mark.parametrize("name", SEQUENCES)
def test_uniform_and_white_along_all_that_numbers_depend_on(name: str) -> None:
    u = SEQUENCES[name]()
    assert 0 < u.min() < u.max() < 1
    assert kstest(u, "uniform").pvalue > CHANCE
    assert_white(u)
    pairs, *_ = np.histogram2d(u[:-1], u[1:], bins=8, range=[[0, 1], [0, 1]])
    assert chisquare(pairs.ravel()).pvalue > CHANCE


def test_images_streams_and_objects_are_independent() -> None:
    assert_uncorrelated(draws(40).uniform("a", N))
    assert_uncorrelated(np.vstack([draws(1, seed).uniform("a", N) for seed in range(40)]))
    assert_uncorrelated(np.vstack([draws(1).uniform(f"walk {i}", N) for i in range(40)]))
    assert_uncorrelated(draws(1).children("bouton", 40).uniform("a", N))
    parent, child = draws(1), draws(1).children("bouton", 1)
    assert_uncorrelated(np.vstack([parent.uniform("a", N), child.uniform("a", N)]))


def test_no_sequence_is_another_one_shifted() -> None:
    first, second = draws(2).uniform("a", 2, N)[:, 0] - 0.5
    spectra = np.fft.fft(first), np.fft.fft(second)
    r = np.fft.ifft(spectra[0] * spectra[1].conj()).real * 12 / math.sqrt(N)
    assert abs(r).max() < math.sqrt(2 * math.log(N / CHANCE))
    # nor do two sequences share their numbers, in whatever order
    drawn = draws(60).uniform("a", N).ravel()
    same = len(drawn) - len(np.unique(drawn))
    expected = len(drawn) ** 2 / 2 / 2**32
    assert abs(same - expected) < 5 * math.sqrt(expected)


def test_keys_are_all_different() -> None:
    keys = [image_keys(seed, range(1000)) for seed in (*range(100), 2**63)]
    assert len(np.unique(np.concatenate(keys))) == 101 * 1000
    known = draws(300)
    objects = [known.children(name, 50).keys for name in ("axon", "bouton", "cell", "frame")]
    assert len(np.unique(np.concatenate([known.keys, *objects]))) == 300 * 201


def test_every_bit_of_a_pixel_is_a_coin() -> None:
    bits = pixel_draws(16).bits("photons", N).numpy().view(np.uint32)
    coins = ((bits[..., None] >> np.arange(32, dtype=np.uint32)) & 1).reshape(-1, 32)
    assert abs(coins.mean(0) - 0.5).max() < 4.5 * 0.5 / math.sqrt(len(coins))
    assert_uncorrelated(coins.T.astype(float))


# ------------------------------------------------------------ normal


def test_normal_moments() -> None:
    # of what is drawn, and exactly of the table: each of its values occurs once in 2**16
    table = np.unique(pixel_draws(64).normal("read", N).numpy())
    assert len(table) > 0.999 * 2**16
    assert 4.2 < table.max() == -table.min() < 4.4
    z = pixel_draws(64).normal("read", N).numpy().ravel().astype(float)
    root = math.sqrt(len(z))
    assert abs(z.mean()) < 4.5 / root
    assert abs(z.var() - 1) < 4.5 * math.sqrt(2) / root
    assert abs((z**3).mean()) < 4.5 * math.sqrt(15) / root
    assert abs((z**4).mean() - 3) < 4.5 * math.sqrt(96) / root
    assert kstest(z[: 1 << 17], "norm").pvalue > CHANCE


def test_noise_of_pixels_is_white_in_the_plane() -> None:
    side = 128
    fields = pixel_draws(64).normal("read", side, side).numpy().astype(float)
    power = (abs(np.fft.fft2(fields)) ** 2).mean(0) / side**2
    spread = 1 / math.sqrt(64)
    assert abs(power[0, 1:].mean() - 1) < 5 * spread / math.sqrt(side / 2)  # from column to column
    assert abs(power[1:, 0].mean() - 1) < 5 * spread / math.sqrt(side / 2)
    assert power.max() < 1 + 8 * spread
    # the two numbers that are made of the same bits, one beside the other
    flat = fields.reshape(64, -1)
    assert abs((flat[:, ::2] * flat[:, 1::2]).mean()) < 5 / math.sqrt(flat.size / 2)


def test_no_pattern_is_common_to_all_images() -> None:
    mean = pixel_draws(400).normal("read", 64, 64).numpy().mean(0)
    assert kstest(mean.ravel() * 20, "norm").pvalue > CHANCE
    assert_uncorrelated(pixel_draws(40).normal("read", N).numpy().astype(float))


def test_numbers_at_some_places_are_those_of_all_places() -> None:
    some = pixel_draws(3)
    places = 1000
    row, place = torch.arange(3).repeat_interleave(places), torch.arange(places).repeat(3)
    chosen = torch.randperm(3 * places, generator=torch.Generator().manual_seed(1))[:500]
    everywhere = some.normal_at("texture", row, place, places)
    assert torch.equal(
        some.normal_at("texture", row[chosen], place[chosen], 2 * places), everywhere[chosen]
    )
    assert kstest(everywhere.numpy(), "norm").pvalue > CHANCE


# ------------------------------------------------------------ of one object


def test_numbers_of_an_image_depend_on_it_alone() -> None:
    alone, batch = draws(1, seed=3, first=7), draws(9, seed=3)
    assert np.array_equal(alone.uniform("a", 5, 2)[0], batch.uniform("a", 5, 2)[7])
    chosen = batch.select(np.array([7, 2]))
    assert np.array_equal(chosen.uniform("a", 4), batch.uniform("a", 4)[[7, 2]])
    pixels = pixel_draws(9, seed=3)
    kept = PixelDraws(pixels.keys[7:8])
    assert torch.equal(kept.normal("read", 31, 7)[0], pixels.normal("read", 31, 7)[7])
    assert torch.equal(kept.bits("photons", 31)[0], pixels.bits("photons", 31)[7])


def test_numbers_of_an_object_do_not_depend_on_how_many_there_are() -> None:
    few = draws(4).children("bouton", 3).uniform("a", 2).reshape(4, 3, 2)
    many = draws(4).children("bouton", 30).uniform("a", 2).reshape(4, 30, 2)
    assert np.array_equal(few, many[:, :3])
    assert np.array_equal(draws(4).uniform("a", 3), draws(4).uniform("a", 70000)[:, :3])
    assert np.array_equal(draws(2).keys, draws(4).keys[:2])


def test_parameters_of_a_group_are_independent() -> None:
    group = AxonParameters()
    names = ("count", "daughters", "conformity", "thickness", "brightness", "gaps", "defocus")
    some = draws(N)
    u = np.vstack([some.chance(group, name) for name in names])
    assert_uncorrelated(u)
    for row in u:
        assert kstest(row, "uniform").pvalue > CHANCE


# ------------------------------------------------------------ distributions


def drawn(name: str, value: Number) -> np.ndarray:
    return draws(N, seed=5).parameter(AxonParameters(**{name: value}), name)


def cut(mean: float, spread: float, low: float, high: float) -> Any:
    """Distribution function of a normal that is cut off at both ends."""
    first, last = ndtr((low - mean) / spread), ndtr((high - mean) / spread)
    return lambda x: (ndtr((x - mean) / spread) - first) / (last - first)


@pytest.mark.parametrize(
    ("value", "law"),
    [
        (Uniform(uniform=(1, 7)), lambda x: (x - 1) / 6),
        (LogUniform(log_uniform=(1, 20)), lambda x: np.log(x) / math.log(20)),
        (Normal(normal=(1, 2)), cut(1, 2, 0.5, 40)),  # half of it below the least thickness
        (
            LogNormal(log_normal=(4, 0.5)),
            lambda x: cut(math.log(4), 0.5, math.log(0.5), math.log(40))(np.log(x)),
        ),
    ],
)
def test_distributions(value: Number, law: Any) -> None:
    assert kstest(drawn("thickness", value), law).pvalue > CHANCE


def test_whole_numbers_and_choices_are_equally_likely() -> None:
    numbers, times = np.unique(drawn("count", Uniform(uniform=(2, 6))), return_counts=True)
    assert numbers.tolist() == [2, 3, 4, 5, 6]
    assert chisquare(times).pvalue > CHANCE
    numbers, times = np.unique(drawn("thickness", Choice(choice=(2, 3, 3))), return_counts=True)
    assert numbers.tolist() == [2, 3]
    assert chisquare(times, [N / 3, 2 * N / 3]).pvalue > CHANCE
    assert set(drawn("count", 5)) == {5}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_numbers_of_pixels_are_the_same_on_cuda() -> None:
    here = pixel_draws(3)
    there = PixelDraws(here.keys.cuda())
    assert torch.equal(there.bits("photons", 4001).cpu(), here.bits("photons", 4001))
    assert torch.equal(there.normal("read", 4001).cpu(), here.normal("read", 4001))
