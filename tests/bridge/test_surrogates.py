"""Surrogate images as layers, and the parameters of a preview."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_axongen.bridge import samples, surrogates
from napari_axongen.bridge.layers import pixel_size, recipe_of, why_not
from napari_axongen.bridge.surrogates import (
    PREVIEW_FRAMES,
    PREVIEW_SIDE,
    Made,
    bouton_labels,
    generate_layers,
    grey_range,
    layers_of,
    preview_parameters,
    thinned,
)
from napari_axongen.core.events import Notice, Partial, run
from napari_axongen.core.surrogate.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Uniform,
)
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters


def parameters(**changes):
    """A small and busy field."""
    values = {
        "width": 96,
        "height": 80,
        "axons": {"count": 3, "crossings": True},
        "boutons": {"count": 6},
        "cells": {"count": 2},
        "series": {"frames": 4, "first_frame": 1},
    }
    return SurrogateParameters(**{**values, **changes})


def make(count=2, series=False, **changes):
    return run(generate_steps(parameters(**changes), count=count, seed=3, series=series))


def by_output(made):
    """The layers, in a viewer without a window, by what they show."""
    viewer, found = ViewerModel(), {}
    for item in layers_of(made, "seed 3"):
        layer = viewer.add_layer(Layer.create(*item))
        assert layer.name == f"seed 3 {recipe_of(layer)['output']}"
        found[recipe_of(layer)["output"]] = layer
    return found


def test_images_masks_and_points_become_layers():
    made = make()
    layers = by_output(made)
    assert list(layers) == ["clean", "images", "axons", "boutons", "centrelines", "bouton centres"]
    assert np.array_equal(layers["images"].data, made.images)
    assert np.array_equal(layers["clean"].data, made.clean_images)
    assert np.array_equal(layers["axons"].data, made.axon_labels)
    for layer in layers.values():
        assert tuple(layer.axis_labels) == ("image", "y", "x")
        recipe = recipe_of(layer)
        assert recipe["verb"] == "generate"
        assert (recipe["seed"], recipe["count"]) == (3, 2)
        assert SurrogateParameters(**recipe["parameters"]) == made.parameters
    lines = layers["centrelines"]
    assert len(lines.data) == len(made.centrelines)
    assert list(lines.features["axon"]) == [line.axon for line in made.centrelines]
    assert set(lines.shape_type) == {"path"}
    for path, line in zip(lines.data, made.centrelines, strict=True):
        assert set(path[:, 0]) == {line.image}
        assert np.allclose(path[[0, -1], 1:], line.points[[0, -1]], atol=1e-4)
    points = layers["bouton centres"]
    assert np.allclose(points.data[:, 0], made.boutons["image"])
    assert np.allclose(points.data[:, 1], made.boutons["row"])
    assert np.allclose(points.data[:, 2], made.boutons["column"])
    assert np.allclose(points.size, 2 * made.boutons["radius"])
    assert np.allclose(points.features["amplitude"], made.boutons["amplitude"])
    assert set(points.features["kind"]) <= {"terminal", "en passant"}
    assert list(points.features["branch"]) == list(made.boutons["branch"])


def test_one_image_has_no_axis_of_images():
    made = make(count=1)
    layers = by_output(made)
    assert layers["image"].data.shape == (80, 96)
    assert {layer.ndim for layer in layers.values()} == {2}


def test_a_series_has_tracks_and_what_moves_lies_where_it_moved():
    made = make(count=1, series=True)
    layers = by_output(made)
    assert layers["image"].data.shape == (4, 80, 96)
    assert {tuple(layer.axis_labels) for layer in layers.values()} == {("t", "y", "x")}
    assert recipe_of(layers["image"])["verb"] == "generate_series"
    tracks, points = layers["bouton tracks"], layers["bouton centres"]
    assert len(tracks.data) == len(points.data) == len(made.tracks)
    assert sorted(set(tracks.data[:, 0])) == sorted(set(made.tracks["bouton"]))
    assert sorted(map(tuple, points.data)) == sorted(map(tuple, tracks.data[:, 1:]))
    # the path of the first branch in frame 2 is the affine's image of that in the scene
    line = made.centrelines[0]
    path = layers["centrelines"].data[2]
    assert set(path[:, 0]) == {2}
    start = made.transforms[0, 2] @ [*line.points[0], 1]
    assert np.allclose(path[0, 1:], start[:2], atol=1e-3)


def test_several_series_keep_their_tracks_apart():
    made = make(count=2, series=True)
    layers = by_output(made)
    assert layers["images"].data.shape == (2, 4, 80, 96)
    tracks = layers["bouton tracks"].data
    assert tracks.shape[1] == 5  # number, image, frame, row, column
    pairs = {(int(a), int(b)) for a, b in tracks[:, :2]}
    assert len(pairs) == len({number for number, _ in pairs})
    assert tuple(layers["images"].axis_labels) == ("image", "t", "y", "x")


@pytest.mark.parametrize("series", [False, True])
def test_labels_of_boutons_are_their_numbers(series):
    made = make(series=series)
    labels = bouton_labels(made)
    assert np.array_equal(labels > 0, made.bouton_masks > 0)
    where = made.tracks if series else made.boutons
    inside = 0
    for bouton in where:
        plane = (bouton["image"], bouton["frame"]) if series else (bouton["image"],)
        row, column = round(float(bouton["row"])), round(float(bouton["column"]))
        if 0 <= row < 80 and 0 <= column < 96 and made.bouton_masks[(*plane, row, column)]:
            assert labels[(*plane, row, column)] == bouton["bouton"]
            inside += 1
    assert inside > len(where) / 2


def test_layers_carry_the_pixel_size():
    made = make(pixel_size=0.25)
    for layer in by_output(made).values():
        assert tuple(layer.scale) == (1, 0.25, 0.25)
        assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    image = by_output(make(count=1, pixel_size=0.25))["image"]
    assert pixel_size(image).um == pytest.approx(0.25)


def test_fields_without_anything_in_them():
    nothing = {name: {"count": 0} for name in ("axons", "boutons", "cells")}
    for series in (False, True):
        layers = by_output(make(series=series, **nothing))
        assert len(layers["centrelines"].data) == len(layers["bouton centres"].data) == 0
        assert not layers["axons"].data.any()
        assert layers["centrelines"].ndim == layers["images"].ndim
        assert "bouton tracks" not in layers


def test_too_many_centrelines_are_cut_off_between_images(monkeypatch):
    made = make(count=6)
    monkeypatch.setattr(surrogates, "MOST_VERTICES", 10)
    items = list(layers_of(made, "seed 3"))
    (notice,) = (item for item in items if isinstance(item, Notice))
    (lines,) = (item for item in items if not isinstance(item, Notice) and item[2] == "shapes")
    shown = {int(path[0, 0]) for path in lines[0]}
    assert shown == set(range(len(shown)))
    assert len(shown) < 6
    assert f"first {len(shown)} images" in notice.message


def test_layers_come_after_the_images_and_one_by_one():
    steps = generate_layers(parameters(), 2, 3, False)
    events = []
    made = run(steps, events.append)
    parts = [event.value for event in events if isinstance(event, Partial)]
    assert len(made) == 2
    assert all(isinstance(part, Made) for part in parts)
    assert [part.layer[1]["name"] for part in parts] == [
        f"seed 3 {name}"
        for name in ("clean", "images", "axons", "boutons", "centrelines", "bouton centres")
    ]


def test_thinned_paths_stay_on_the_path():
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 50, 300):
        heading = np.cumsum(rng.uniform(-0.14, 0.14, length))
        path = np.cumsum(2 * np.column_stack([np.sin(heading), np.cos(heading)]), axis=0)
        few = thinned(path, 0.1)
        assert np.array_equal(few[[0, -1]], path[[0, -1]])
        begin, along = few[:-1], np.diff(few, axis=0)
        for point in path if len(few) > 1 else ():
            t = np.clip(((point - begin) * along).sum(1) / (along**2).sum(1), 0, 1)
            assert np.hypot(*(point - begin - t[:, None] * along).T).min() <= 0.1 + 1e-9
    assert len(few) < len(path) / 2
    straight = np.column_stack([np.arange(100.0), np.zeros(100)])
    assert len(thinned(straight)) == 2


def test_contrast_limits_hold_the_image_and_some_more():
    ramp = np.linspace(60, 160, 10_000).reshape(1, 100, 100).astype(np.uint8)
    low, high = grey_range(ramp, 255)
    assert 30 < low < 60
    assert 160 < high < 190
    assert grey_range(ramp, 170)[1] == 170
    assert grey_range(np.full((1, 9, 9), 7, np.uint8), 255) == (0, 255)


@pytest.mark.parametrize(
    ("count", "smaller"),
    [
        (40.0, 10),
        (1.0, 1),
        (0.0, 0),
        (Uniform(uniform=(0, 80)), Uniform(uniform=(0, 20))),
        (LogUniform(log_uniform=(4, 80)), LogUniform(log_uniform=(1, 20))),
        (Normal(normal=(40, 8)), Normal(normal=(10, 2))),
        (LogNormal(log_normal=(40, 0.5)), LogNormal(log_normal=(10, 0.5))),
        (Choice(choice=(4, 40)), Choice(choice=(1, 10))),
    ],
)
def test_a_large_field_is_previewed_by_a_part_as_crowded(count, smaller):
    whole = SurrogateParameters(
        width=2 * PREVIEW_SIDE,
        height=2 * PREVIEW_SIDE,
        axons={"count": 8},
        boutons={"count": count},
        cells={"count": count},
    )
    part, note = preview_parameters(whole)
    assert (part.width, part.height) == (PREVIEW_SIDE, PREVIEW_SIDE)
    assert part.axons.count == 4  # they cross the field
    assert part.boutons.count == part.cells.count == smaller
    assert part.acquisition == whole.acquisition
    assert "1024 x 1024" in note
    assert SurrogateParameters(**part.model_dump(by_alias=True)) == part


def test_a_field_that_fits_is_previewed_as_it_is():
    whole = parameters()
    assert preview_parameters(whole) == (whole, "")
    assert preview_parameters(whole, series=True) == (whole, "")


def test_a_long_series_is_previewed_by_a_shorter_one():
    long = parameters(series={"frames": 500})
    part, note = preview_parameters(long, series=True)
    assert part.series.frames == PREVIEW_FRAMES
    assert "of 500 frames" in note
    assert preview_parameters(long) == (long, "")


def test_the_sample_is_calibrated_or_says_nothing_and_has_its_truth():
    layers = [Layer.create(*data) for data in samples.two_photon_axons()]
    image = next(layer for layer in layers if layer.name == "Two-photon image")
    assert why_not(image) is None
    assert image.source.path is None
    assert {layer.name.removeprefix("Two-photon ") for layer in layers} >= {
        "clean",
        "axons",
        "boutons",
        "centrelines",
    }
    assert recipe_of(image)["verb"] == "generate"
