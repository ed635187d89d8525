"""How long a translation will take: the arithmetic, and what is timed for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels

from napari_axongen.bridge import pace as timing
from napari_axongen.bridge.forecast import (
    Question,
    axon_diameter,
    expected_seconds,
    forecast_steps,
)
from napari_axongen.bridge.masks import MaskLayers
from napari_axongen.bridge.pace import Pace, pace_steps
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, run
from napari_axongen.core.matching import LOOK, SCALES
from napari_axongen.core.methods import ROUND_TRIP
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import TranslateParameters

SECOND = 1e-6
"""Of a call, by pixel."""

SHAPE = (400, 500)


def card(name, axon=20.0, **more):
    return Card(name=name, network={"name": "unet"}, classes=["axon"], axon_diameter=axon, **more)


MODEL = Pace(card("model"), SECOND, 0.0, stride=16, receptive_radius=100, bytes_per_pixel=100)
SEGMENTERS = [
    Pace(card("tem", 30, contrast="TEM", pixel_size=0.01), SECOND, SECOND, 16, 100, 100),
    Pace(card("sem", 30, contrast="SEM", pixel_size=0.1), SECOND, SECOND, 16, 100, 100),
]


def drawn(radius=10):
    """Labels of axons of a radius, as a mask of one layer."""
    y, x = np.indices(SHAPE)
    far = np.hypot(y % 60 - 30, x % 60 - 30)
    classes = np.select([far < radius, far < 1.5 * radius], [255, 127], 0).astype(np.uint8)
    return MaskLayers("drawn", Labels(classes))


def asked(mask=None, diameter=20.0, shape=SHAPE, segmenters=(), **parameters):
    usual = {"method": "ddpm", "target": "SEM", "axon_diameter": diameter, "guidance": 1}
    question = Question(TranslateParameters(**(usual | parameters)), shape, "TEM", mask)
    return expected_seconds(question, MODEL, segmenters, diameter)


# ---------------------------------------------------------------- the arithmetic


@pytest.mark.parametrize(
    ("parameters", "calls"),
    [
        ({"method": "cgan", "model": "model"}, 1),
        ({"steps": 8}, 8),
        ({"steps": 8, "guidance": 2}, 16),
        ({"steps": 3, "samples": 5}, 15),
        ({"method": "sdedit", "steps": 4, "strength": 0.2}, 4),
    ],
)
def test_calls_times_pixels_times_pace(parameters, calls):
    assert asked(drawn(), **parameters) == pytest.approx(calls * 400 * 500 * SECOND)


def test_every_plane_counts():
    assert asked(drawn(), shape=(2, 3, *SHAPE)) == pytest.approx(6 * asked(drawn()))


def test_the_scale_follows_from_the_size_of_the_axons():
    half = asked(drawn(), diameter=40.0)
    assert half == pytest.approx(asked(drawn()) / 4)


def test_margins_of_tiles_are_counted():
    """A window reaches a radius beyond its tile, and no further than the image."""
    roomy, tight = (
        asked(drawn(), shape=(4000, 4000), steps=1, memory=memory) / SECOND
        for memory in (1_000_000, 64)
    )
    assert roomy == pytest.approx(4000**2)
    tile = np.sqrt(64 * 2**20 / (100 + 8)) - 2 * (100 + 16)
    count = np.ceil(4000 / tile)
    assert tight == pytest.approx((4000 + 2 * 100 * (count - 1)) ** 2, rel=0.05)


def test_what_is_told_nothing_is_called_once():
    once = asked(method="generate", steps=4, guidance=2)
    assert once == pytest.approx(4 * 400 * 500 * SECOND)
    assert asked(drawn(), method="generate", steps=4, guidance=2) == pytest.approx(2 * once)
    deaf = replace(MODEL, conditional=False)
    question = Question(TranslateParameters(method="ddib", axon_diameter=20), SHAPE, "TEM", drawn())
    assert expected_seconds(question, deaf, [], 20) == expected_seconds(question, MODEL, [], 20)
    question = replace(question, parameters=TranslateParameters(method="sdedit", axon_diameter=20))
    twice = expected_seconds(question, MODEL, [], 20)
    assert expected_seconds(question, deaf, [], 20) == pytest.approx(twice / 2)


def test_the_way_back_is_tried_on_a_part():
    both = asked(drawn(), method="ddib", steps=5)
    assert both == pytest.approx(10 * (400 * 500 + ROUND_TRIP**2) * SECOND)


def test_labels_that_must_be_found_take_their_time():
    given = asked(drawn(), segmenters=SEGMENTERS)
    assert given == asked(drawn())
    found = asked(segmenters=SEGMENTERS)
    label = 400 * 500 * (30 / 20) ** 2 * SECOND
    look = 2 * LOOK**2 * (SECOND + SECOND / (30 / 20) ** 2)
    assert found - given == pytest.approx(label + look, rel=0.01)
    assert asked(segmenters=SEGMENTERS, method="generate", guidance=1) == given
    assert asked(segmenters=SEGMENTERS, condition="structure") == given


@pytest.mark.parametrize(
    ("parameters", "looked"),
    [
        ({}, False),
        ({"target": "auto"}, True),
        ({"method": "sdedit"}, True),
        ({"method": "ddib"}, True),
        ({"method": "cgan", "target": "auto"}, True),
        ({"method": "cgan", "target": "SEM"}, False),
        ({"method": "cgan", "target": "auto", "model": "model"}, False),
    ],
)
def test_finding_the_contrast_takes_its_time(parameters, looked):
    assert (asked(drawn(), segmenters=SEGMENTERS, **parameters) > asked(drawn(), **parameters)) == (
        looked
    )


def test_a_scale_that_must_be_found_is_sought_at_all_scales():
    """A pixel size tells it, but to the segmenter that does not suit."""
    parameters = {"axon_diameter": None, "method": "generate"}
    sought = asked(segmenters=SEGMENTERS, **parameters) - asked(**parameters)
    sizes = [np.prod([min(LOOK, n * scale) for n in SHAPE]) for scale in SCALES]
    every = sum(n * (SECOND + SECOND / s**2) for n, s in zip(sizes, SCALES, strict=True))
    assert sought == pytest.approx(2 * every)
    calibrated = asked(segmenters=SEGMENTERS, pixel_size=0.01, **parameters) - asked(**parameters)
    assert every < calibrated < 1.5 * every


# ---------------------------------------------------------------- how wide the axons are


def test_where_the_size_of_the_axons_is_known_from():
    cards = [one.card for one in SEGMENTERS]

    def found(mask=None, diameter=None, **parameters):
        question = Question(TranslateParameters(**parameters), SHAPE, "TEM", mask, diameter)
        return axon_diameter(question, cards)

    assert found() is None
    assert found(pixel_size=0.005) == pytest.approx(30 * 0.01 / 0.005)
    assert found(diameter=33.0, pixel_size=0.005) == 33
    assert found(drawn(), 33.0) == pytest.approx(20, rel=0.05)
    assert found(drawn(), axon_diameter=17) == 17
    empty = MaskLayers("none", Labels(np.zeros(SHAPE, np.uint8)))
    assert found(empty) is None


def test_two_layers_and_stacks_are_measured():
    axon = Labels(np.stack([drawn().axon.data == 255] * 3).astype(np.uint8))
    mask = MaskLayers("two", axon, Labels(np.zeros((3, *SHAPE), np.uint8)))
    question = Question(TranslateParameters(), (3, *SHAPE), None, mask)
    assert axon_diameter(question, []) == pytest.approx(20, rel=0.05)


# ---------------------------------------------------------------- what is timed


@pytest.fixture
def untimed(monkeypatch, denoiser):
    """Nothing has been timed; names of the models that are, in turn."""
    names, calls = [], timing._calls

    def watched(card, *rest):
        names.append(card.name)
        return calls(card, *rest)

    monkeypatch.setattr(timing, "_paces", {})
    monkeypatch.setattr(timing, "_calls", watched)
    return names


def test_each_model_is_timed_once(untimed):
    def told(**parameters):
        events = []
        question = Question(TranslateParameters(device="cpu", **parameters), SHAPE, "TEM")
        return run(forecast_steps(question), events.append), events

    first, events = told(method="ddpm", axon_diameter=20)
    assert untimed == ["tem-sem", "axon-myelin-sem", "axon-myelin-tem"]
    assert first.seconds > 0
    assert first.on_cpu
    assert first.assumed is None
    assert any(isinstance(event, Notice) and "CPU" in event.message for event in events)
    told(method="sdedit", steps=99)
    assert len(untimed) == 3
    found, _ = told(method="cgan")
    assert untimed[3:] == ["tem-to-sem"]  # as the image is TEM
    assert found.assumed == 28


def test_a_call_is_timed_after_the_first(untimed):
    from napari_axongen.core.models.store import available

    device = choose_device("cpu")
    for one in available():
        pace = run(pace_steps(one, device))
        assert pace.seconds > 0
        # a difference of times: on a busy machine that of a segmenter may be none, too
        assert pace.seconds_around >= 0
        assert one.task == "segmentation" or pace.seconds_around == 0
    assert len(untimed) == len(available())


def test_a_device_that_is_not_there_is_refused(denoiser):
    question = Question(TranslateParameters(device="mps"), SHAPE)
    with pytest.raises(InputError, match="mps"):
        run(forecast_steps(question))


def test_without_a_model_there_is_none(translators):
    with pytest.raises(InputError, match="No model for diffusion"):
        run(forecast_steps(Question(TranslateParameters(method="ddpm", device="cpu"), SHAPE)))
