"""Axons and boutons in drawn fluorescence images, by models of which the answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

import napari_axongen
from napari_axongen.core.centrelines import write_centrelines
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Notice, Partial, Progress
from napari_axongen.core.fluorescence import FluorescenceSegmentation, label_axons
from napari_axongen.core.image import Image
from napari_axongen.core.models import save_model
from napari_axongen.core.models.store import load_network
from napari_axongen.core.segmentation import Segmentation
from napari_axongen.core.surrogate.em_fields import em_field


def draw(rows: tuple[int, ...] = (40, 80), boutons: tuple[int, ...] = (30, 90)) -> np.ndarray:
    """Axons along some rows, 7 px thick; on the first of them boutons of radius 5."""
    grey = np.random.default_rng(0).integers(4, 8, (120, 160)).astype(np.uint8)
    for row in rows:
        grey[row - 3 : row + 4, 10:150] = 100
    y, x = np.mgrid[:120, :160]
    for column in boutons:
        grey[np.hypot(y - rows[0], x - column) <= 5] = 250
    grey[100:107, 20:27] = 100  # a speck
    return grey


def segment(image: Any, **parameters: Any) -> tuple[FluorescenceSegmentation, list[Any]]:
    events: list[Any] = []
    found = napari_axongen.segment(image, device="cpu", on_event=events.append, **parameters)
    assert isinstance(found, FluorescenceSegmentation)
    return found, events


def test_axons_and_boutons_of_one_run(glow: dict[str, Path]) -> None:
    grey = draw()
    found, events = segment(grey)
    assert found.probabilities.shape == (2, 120, 160)
    objects = found.objects()
    expected = grey > 50
    expected[100:107] = False  # the speck is none
    assert dice(objects.axons > 0, expected) > 0.95  # but for the edges
    assert objects.axons[40, 50] == 1
    assert objects.axons[80, 50] == 2
    assert objects.axons.max() == 2
    assert [(one.axon, one.image) for one in objects.centrelines] == [(1, 0), (2, 0)]
    for one, row in zip(objects.centrelines, (40, 80), strict=True):
        assert np.abs(one.points[:, 0] - row).max() <= 1.5
    plane, row, column, radius, score = objects.boutons.T
    assert (plane == 0).all()
    assert sorted(column) == pytest.approx([30, 90], abs=1)
    assert row == pytest.approx([40, 40], abs=1)
    assert radius == pytest.approx([5, 5], abs=2)
    assert (score > 0.6).all()
    for number, (y, x) in enumerate(zip(row, column, strict=True), 1):
        assert objects.bouton_labels[round(y), round(x)] == number
        area = np.count_nonzero(objects.bouton_labels == number)
        assert area == pytest.approx(np.pi * radius[number - 1] ** 2, rel=0.15)
    (said,) = [e.message for e in events if isinstance(e, Notice) and "Fluorescence" in e.message]
    assert "glow-axon" in said
    assert "glow-bouton" in said
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total


def test_other_thresholds_without_the_network(glow: dict[str, Path]) -> None:
    found, _ = segment(draw())
    assert found.thresholds == {"axon": 0.5, "bouton": 0.6}  # as their cards say
    wider = found.at({"axon": 0.05})
    assert np.count_nonzero(wider.objects().axons) > np.count_nonzero(found.objects().axons)
    assert len(wider.objects().boutons) == 2
    assert wider.recipe()["parameters"]["axon_threshold"] == 0.05
    asked, _ = segment(draw(), axon_threshold=0.05, bouton_threshold=1.0)
    np.testing.assert_array_equal(asked.objects().axons, wider.objects().axons)
    assert len(asked.objects().boutons) == 0


def test_a_named_model_alone(glow: dict[str, Path]) -> None:
    for model in ("glow-bouton", str(glow["glow-bouton"])):
        found, _ = segment(draw(), model=model, contrast="TEM")  # the model knows better
        objects = found.objects()
        assert len(objects.boutons) == 2
        assert not objects.axons.any()
        assert objects.centrelines == []
        assert found.recipe()["parameters"]["model"] == "glow-bouton"


def test_the_contrast_can_be_said(glow: dict[str, Path]) -> None:
    field = em_field((160, 160), "tem", seed=1)
    image = Image.from_array(field.image, pixel_size=field.pixel_size)
    found = napari_axongen.segment(image, device="cpu", axon_diameter=40)
    assert isinstance(found, Segmentation)  # whatever models of fluorescence there are
    segment(field.image, contrast="fluorescence")
    shown = napari_axongen.segment(draw(), contrast="SEM", axon_diameter=20, device="cpu")
    assert shown.recipe()["model"]["name"] == "axon-myelin-sem"


def test_without_a_model_it_is_said_what_to_do(glow: dict[str, Path]) -> None:
    for path in glow.values():
        path.unlink()
    with pytest.raises(InputError, match="choose the contrast TEM or SEM"):
        segment(draw())


def test_a_stack_is_done_plane_by_plane_lazily(glow: dict[str, Path]) -> None:
    planes = [draw(), draw((60,), (40,)), draw((25, 60, 85), (40,))]
    stack = da.from_array(np.stack(planes), chunks=(1, 64, 64))
    found, events = segment(stack)
    objects = found.objects()
    partials = [event for event in events if isinstance(event, Partial)]
    assert [event.plane for event in partials] == [(0,), (1,), (2,)]
    counts = [len(set(np.unique(plane)) - {0}) for plane in objects.axons]
    assert counts == [2, 1, 3]
    assert objects.axons.max() == 6  # no number in two planes
    assert [one.image for one in objects.centrelines] == [0, 0, 1, 2, 2, 2]
    assert [one.axon for one in objects.centrelines] == [1, 2, 3, 4, 5, 6]
    assert objects.boutons[:, 0].tolist() == [0, 0, 1, 2]
    assert set(np.unique(objects.bouton_labels)) == {0, 1, 2, 3, 4}
    alone, _ = segment(planes[2])
    np.testing.assert_array_equal(found.probabilities[:, 2], alone.probabilities)


def test_the_scale_follows_where_both_pixel_sizes_are_known(glow: dict[str, Path]) -> None:
    network, card, _ = load_network(glow["glow-axon"])
    save_model(glow["glow-axon"], network, card.model_copy(update={"pixel_size": 0.5}))
    assert [f.scale for f in segment(draw(), pixel_size=0.25)[0].finders] == [0.5, 1]
    found, _ = segment(draw())
    assert [finder.scale for finder in found.finders] == [1, 1]


def test_centrelines_are_written_and_scored_as_all_are(
    glow: dict[str, Path], tmp_path: Path
) -> None:
    found, _ = segment(draw())
    write_centrelines(tmp_path / "found.csv", found.objects().centrelines)
    truth = [np.array([(row, 10), (row, 149)]) for row in (40, 80)]
    accuracy = napari_axongen.evaluate_tracing(tmp_path / "found.csv", truth, 2).overall
    assert accuracy.precision == pytest.approx(1)
    assert accuracy.recall > 0.95


def test_the_recipe_is_json_and_makes_it_again(glow: dict[str, Path]) -> None:
    found, _ = segment(draw(), axon_threshold=0.3, min_length=5)
    recipe = json.loads(json.dumps(found.recipe()))
    assert [model["name"] for model in recipe["models"]] == ["glow-axon", "glow-bouton"]
    assert recipe["parameters"]["contrast"] == "fluorescence"
    again = napari_axongen.segment(draw(), **recipe["parameters"])
    np.testing.assert_array_equal(again.objects().axons, found.objects().axons)
    assert found.objects().axons.max() == 3  # the speck is one at this length


def test_fibres_are_not_measured_in_it(glow: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="fluorescence"):
        napari_axongen.measure(segment(draw())[0])


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    probability = np.zeros((60, 60), np.uint8)
    probability[10:50, 10:50] = 255
    probability[15:18, 15:18] = 0
    probability[25:40, 25:40] = 0
    labels = label_axons(probability, 0.5)
    assert labels[16, 16] == 1
    assert labels[30, 30] == 0
    assert labels[0, 0] == 0


def test_an_axon_is_clear_somewhere_and_may_be_faint_elsewhere() -> None:
    probability = np.zeros((40, 80), np.uint8)
    probability[10:13, 5:75] = 150  # above the threshold of 0.5 all along
    probability[10:13, 30:33] = 250  # and sure here
    probability[28:31, 5:75] = 150  # as long, but sure nowhere
    labels = label_axons(probability, 0.5)
    assert (labels[10:13, 5:75] == 1).all()
    assert not labels[20:].any()
