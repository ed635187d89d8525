"""The forward process by its moments, the samplers against those of diffusers and exact answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_axongen.core.diffusion import (
    Ancestral,
    Course,
    Ddim,
    DpmSolver,
    Flow,
    FlowEuler,
    Prediction,
    Sampler,
    Schedule,
    process,
)

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

SHAPE = (2, 1, 12, 10)
THEIRS = {"noise": "epsilon", "velocity": "v_prediction", "image": "sample"}
PREDICTIONS: tuple[Prediction, ...] = ("noise", "velocity", "image")
SCHEDULES = {
    "linear": (
        Schedule.linear(),
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    ),
    "cosine": (Schedule.cosine(), {"beta_schedule": "squaredcos_cap_v2"}),
    "linear, ending in noise": (
        Schedule.linear().ending_in_noise(),
        {
            "beta_schedule": "linear",
            "beta_start": 1e-4,
            "beta_end": 0.02,
            "rescale_betas_zero_snr": True,
        },
    ),
}


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Network:
    """Tells a smooth image from x, and says so as it is asked to."""

    schedule: Schedule
    prediction: Prediction

    def __call__(self, x: Tensor, told: int) -> Tensor:
        image = 0.7 * torch.tanh(x.roll(1, -1)) + 0.1 * torch.sin(3 * x) + 1e-4 * told
        kept = self.schedule.kept[told]
        noise = (x - kept.sqrt() * image) / (1 - kept).sqrt()
        step = torch.full((len(x),), told)
        return self.schedule.target(image, noise, step, self.prediction)


def follow(sampler: Sampler, network: Network, course: Course) -> list[Tensor]:
    """All images on the way; the noise of step k is that of seed k."""
    x, way, before = normal(9), [], None
    for index, told in enumerate(course.told):
        noise, made = normal(index) if sampler.noisy else None, network(x, told)
        seen = sampler.estimate(made, x, index)
        x, before = sampler.step(made, x, index, noise, before), seen
        way.append(x)
    return way


def follow_theirs(
    scheduler: Any, network: Network, step: Callable[[Tensor, Tensor, Tensor, int], Tensor]
) -> list[Tensor]:
    """The same by a scheduler of diffusers, one step of which is made by ``step``."""
    x, way = normal(9), []
    for index, told in enumerate(scheduler.timesteps):
        x = step(network(x, int(told)), told, x, index)
        way.append(x)
    return way


def compare(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-4 * max(1.0, float(other.abs().max()))


# ---------------------------------------------------------------- the forward process


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_those_of_diffusers(name: str) -> None:
    ours, setting = SCHEDULES[name]
    theirs = diffusers.DDIMScheduler(**setting)
    np.testing.assert_allclose(ours.kept.numpy(), theirs.alphas_cumprod.numpy(), atol=2e-6)


def test_the_forward_process_has_its_moments() -> None:
    schedule = Schedule.cosine()
    images = torch.full((200_000,), 0.7, dtype=torch.float64)
    for step in (0, 300, 999):
        steps = torch.full((200_000,), step)
        x = schedule.noised(images, normal(step, (200_000,)), steps)
        kept = float(schedule.kept[step])
        assert float(x.mean()) == pytest.approx(0.7 * kept**0.5, abs=0.01)
        assert float(x.var()) == pytest.approx(1 - kept, rel=0.02)


def test_a_schedule_that_ends_in_noise_keeps_its_first_step() -> None:
    before, after = Schedule.linear(), Schedule.linear().ending_in_noise()
    assert after.kept[-1] == 0
    assert float(after.kept[0]) == pytest.approx(float(before.kept[0]))
    assert (after.kept.diff() < 0).all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_targets_give_image_and_noise_back(prediction: Prediction) -> None:
    schedule = Schedule.cosine()
    images, noise = normal(0), normal(1)
    course = schedule.course(10)
    for index, told in enumerate(course.told[1:], 1):
        steps = torch.full((SHAPE[0],), told)
        x = schedule.noised(images, noise, steps)
        made = schedule.target(images, noise, steps, prediction)
        found = Ddim(course, prediction).parts(made, x, index)
        torch.testing.assert_close(found[0], images, atol=1e-6, rtol=0)
        torch.testing.assert_close(found[1], noise, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_impossible_numbers_of_steps_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        Schedule.linear().course(count)


# ---------------------------------------------------------------- against diffusers
# Their tables are of single precision, which cosine schedules start too near 1 for: they get ours.


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize(
    ("count", "spacing"), [(50, "leading"), (40, "trailing"), (1000, "leading")]
)
def test_ancestral_sampling_is_that_of_diffusers(
    prediction: Prediction,
    name: str,
    count: int,
    spacing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from diffusers.schedulers import scheduling_ddpm

    schedule, setting = SCHEDULES[name]
    theirs = diffusers.DDPMScheduler(
        **setting, prediction_type=THEIRS[prediction], clip_sample=False, timestep_spacing=spacing
    )
    theirs.alphas_cumprod = schedule.kept
    theirs.set_timesteps(count)

    def step(made: Tensor, told: Tensor, x: Tensor, index: int) -> Tensor:
        return theirs.step(made, told, x, generator=lambda: normal(index)).prev_sample

    course, network = schedule.course(count, spacing), Network(schedule, prediction)
    with monkeypatch.context() as patch:
        patch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, generator, **__: generator())
        expected = follow_theirs(theirs, network, step)
    compare(follow(Ancestral(course, prediction), network, course), expected)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("count", "spacing"), [(20, "leading"), (8, "trailing")])
def test_ddim_is_that_of_diffusers(
    prediction: Prediction, name: str, eta: float, count: int, spacing: str
) -> None:
    schedule, setting = SCHEDULES[name]
    theirs = diffusers.DDIMScheduler(
        **setting, prediction_type=THEIRS[prediction], clip_sample=False, timestep_spacing=spacing
    )
    theirs.alphas_cumprod = schedule.kept
    theirs.set_timesteps(count)
    course, network = schedule.course(count, spacing), Network(schedule, prediction)
    compare(
        follow(Ddim(course, prediction, eta), network, course),
        follow_theirs(
            theirs,
            network,
            lambda made, told, x, index: (
                theirs.step(made, told, x, eta=eta, variance_noise=normal(index)).prev_sample
            ),
        ),
    )


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_the_inversion_of_ddim_is_that_of_diffusers(prediction: Prediction, spacing: str) -> None:
    schedule, setting = SCHEDULES["cosine"]
    theirs = diffusers.DDIMInverseScheduler(
        **setting, prediction_type=THEIRS[prediction], clip_sample=False, timestep_spacing=spacing
    )
    theirs.alphas_cumprod = schedule.kept
    theirs.set_timesteps(20)
    course, network = schedule.course(20, spacing).reversed(), Network(schedule, prediction)
    compare(
        follow(Ddim(course, prediction), network, course),
        follow_theirs(
            theirs, network, lambda made, told, x, _: theirs.step(made, told, x).prev_sample
        ),
    )


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize(("count", "spacing"), [(20, "leading"), (8, "trailing"), (4, "trailing")])
def test_the_solver_is_that_of_diffusers(
    prediction: Prediction, name: str, count: int, spacing: str
) -> None:
    schedule, setting = SCHEDULES[name]
    theirs = diffusers.DPMSolverMultistepScheduler(
        **setting,
        prediction_type=THEIRS[prediction],
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing=spacing,
        final_sigmas_type="zero",
    )
    theirs.alphas_cumprod = schedule.kept
    theirs.set_timesteps(count)
    told = tuple(int(step) for step in theirs.timesteps)
    kept = torch.cat([schedule.kept[list(told)], torch.ones(1, dtype=torch.float64)])
    course, network = Course(told, kept), Network(schedule, prediction)
    compare(
        follow(DpmSolver(course, prediction), network, course),
        follow_theirs(
            theirs, network, lambda made, told, x, _: theirs.step(made, told, x).prev_sample
        ),
    )


@pytest.mark.parametrize("count", [1, 8, 30])
def test_the_flow_is_that_of_diffusers(count: int) -> None:
    def velocity(x: Tensor, level: float) -> Tensor:
        return x - 0.7 * torch.tanh(x.roll(1, -1)) + 0.1 * level

    sampler = Flow().way("euler", count).sampler
    assert isinstance(sampler, FlowEuler)
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(sigmas=list(sampler.levels[:-1]))
    x = other = normal(9)
    for index, told in enumerate(theirs.timesteps):
        x = sampler.step(velocity(x, sampler.levels[index]), x, index)
        other = theirs.step(velocity(other, float(told) / 1000), told, other).prev_sample
        compare([x], [other])


# ---------------------------------------------------------------- against exact answers

MEAN, DEVIATION = 0.4, 0.3


def exact(x: Tensor, kept: float, prediction: Prediction) -> Tensor:
    """What the best network would say of images whose pixels are normal and independent."""
    come = 1 - kept
    spread = kept * DEVIATION**2 + come
    noise = come**0.5 * (x - kept**0.5 * MEAN) / spread
    image = (x - come**0.5 * noise) / kept**0.5
    return {"noise": noise, "velocity": kept**0.5 * noise - come**0.5 * image, "image": image}[
        prediction
    ]


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    ("kind", "count"), [("ancestral", 500), ("ddim", 200), ("ddim, noisy", 500), ("solver", 60)]
)
def test_with_the_exact_network_every_sampler_lands_on_the_distribution(
    prediction: Prediction, kind: str, count: int
) -> None:
    course = Schedule.linear().course(count)
    samplers: dict[str, Sampler] = {
        "ancestral": Ancestral(course, prediction),
        "ddim": Ddim(course, prediction),
        "ddim, noisy": Ddim(course, prediction, 1.0),
        "solver": DpmSolver(course, prediction),
    }
    sampler, size = samplers[kind], (40_000,)
    x, before = normal(1000, size), None
    for index, kept in enumerate(course.kept[:-1].tolist()):
        noise = normal(index, size) if sampler.noisy else None
        made = exact(x, kept, prediction)
        seen = sampler.estimate(made, x, index)
        x, before = sampler.step(made, x, index, noise, before), seen
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(x.std()) == pytest.approx(DEVIATION, rel=0.03)


def test_with_the_exact_network_the_flow_lands_on_the_distribution() -> None:
    sampler = Flow().way("euler", 200).sampler
    assert isinstance(sampler, FlowEuler)
    x = normal(0, (40_000,))
    for index, s in enumerate(sampler.levels[:-1]):
        spread = (1 - s) ** 2 * DEVIATION**2 + s**2
        away = (x - (1 - s) * MEAN) / spread
        x = sampler.step(s * away - MEAN - (1 - s) * DEVIATION**2 * away, x, index)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(x.std()) == pytest.approx(DEVIATION, rel=0.03)


def test_an_inverted_image_comes_back_the_better_the_finer_the_steps() -> None:
    errors = []
    for count in (50, 1000):
        course = Schedule.cosine().course(count)
        image = x = MEAN + DEVIATION * normal(0)
        for way in (course.reversed(), course):
            sampler = Ddim(way, "velocity")
            for index, kept in enumerate(way.kept[:-1].tolist()):
                x = sampler.step(exact(x, kept, "velocity"), x, index)
        errors.append(float((x - image).abs().max()))
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 10  # of first order


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_a_course_begins_where_it_is_told_to(strength: float) -> None:
    schedule = Schedule.linear()
    course = schedule.course(10, strength=strength)
    assert course.told[0] == 1000 * strength - 1
    assert len(course) == 10
    assert course.told[-1] == 100 * strength - 1
    assert torch.equal(course.kept[:-1], schedule.kept[list(course.told)])


def test_a_process_returns_an_image_by_what_it_asks_of_the_network() -> None:
    """A network that knows the image brings any process back to it, from any strength."""
    image = normal(3, (2, 1, 8, 8))
    for objective in ("velocity", "flow", "noise"):
        ours = process(objective)
        for name, strength in product(ours.samplers, (1.0, 0.5)):
            way = ours.way(name, 8, strength)
            noise = normal(4, image.shape)
            x = way.image * image + way.noise * noise
            levels = torch.full((2,), way.told[0])
            assert torch.allclose(x, ours.noised(image, noise, levels), atol=1e-5)
            for index, level in enumerate(way.told):
                at = torch.full((2,), level)
                kept = ours.noised(image, torch.zeros_like(image), at)
                come = ours.noised(torch.zeros_like(image), torch.ones_like(image), at)
                seen = (x - kept) / come
                assert torch.allclose(ours.told(at), at, atol=1e-6)
                new = normal(index, image.shape) if way.sampler.noisy else None
                x = way.sampler.step(ours.target(image, seen, at), x, index, new)
            assert torch.allclose(x, image, atol=2e-3), (objective, name)


def test_the_weights_of_velocities_neither_forget_noise_nor_dwell_on_detail() -> None:
    weights = process("velocity").weights(torch.tensor([1.0, 0.5, 0.01]))
    assert weights[0] == 1
    assert 0 < weights[2] < 0.05
    assert (process("flow").weights(torch.tensor([1.0, 0.01])) == 1).all()


def test_a_sampler_of_another_process_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a schedule"):
        process("flow").way("dpm++", 4)
    with pytest.raises(ValueError, match="rectified flows"):
        process("velocity").way("euler", 4)
