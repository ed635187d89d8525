"""Measuring fibres: against known ellipses and against scikit-image."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage import measure as skimage_measure

from napari_axongen.core.errors import InputError
from napari_axongen.core.instances import label_fibres
from napari_axongen.core.morphometry import (
    FIBRE_COLUMNS,
    IMAGE_COLUMNS,
    MeasureParameters,
    measure,
    measure_mask,
)
from napari_axongen.core.regions import find_runs, hull_areas, moments, perimeters


def ellipse(shape, y, x, major, minor, angle=0.0):
    """Filled ellipse of these semi-axes; the major axis lies `angle` from the rows' direction."""
    rows, columns = np.indices(shape)
    dy, dx = rows - y, columns - x
    along = dy * math.cos(angle) + dx * math.sin(angle)
    across = dx * math.cos(angle) - dy * math.sin(angle)
    return (along / major) ** 2 + (across / minor) ** 2 <= 1


def annulus(shape, *fibres):
    """Class image of (y, x, axon radius, fibre radius)."""
    classes = np.zeros(shape, np.uint8)
    for y, x, _, outer in fibres:
        classes[ellipse(shape, y, x, outer, outer)] = 127
    for y, x, inner, _ in fibres:
        classes[ellipse(shape, y, x, inner, inner)] = 255
    return classes


def one(morphometry, name):
    (value,) = morphometry.fibres[name]
    return value


@pytest.mark.parametrize("pixel_size", [None, 0.05])
@pytest.mark.parametrize(("inner", "outer"), [(10, 15), (30, 40), (60, 75)])
def test_round_fibre_of_known_size(inner, outer, pixel_size):
    classes = annulus((200, 220), (100.3, 110.6, inner, outer))
    result = measure_mask(classes, MeasureParameters(pixel_size=pixel_size))
    scale, unit = (1.0, "px") if pixel_size is None else (pixel_size, "um")
    assert result.unit == unit
    assert one(result, f"axon_diam ({unit})") == pytest.approx(2 * inner * scale, rel=0.01)
    assert one(result, f"axonmyelin_diam ({unit})") == pytest.approx(2 * outer * scale, rel=0.01)
    assert one(result, f"axon_area ({unit}^2)") == pytest.approx(
        math.pi * inner**2 * scale**2, rel=0.02
    )
    assert one(result, f"axonmyelin_area ({unit}^2)") == pytest.approx(
        math.pi * outer**2 * scale**2, rel=0.02
    )
    assert one(result, f"myelin_area ({unit}^2)") == pytest.approx(
        math.pi * (outer**2 - inner**2) * scale**2, rel=0.02
    )
    assert one(result, f"myelin_thickness ({unit})") == pytest.approx(
        (outer - inner) * scale, rel=0.03
    )
    assert one(result, f"axon_perimeter ({unit})") == pytest.approx(
        2 * math.pi * inner * scale, rel=0.02
    )
    assert one(result, f"axonmyelin_perimeter ({unit})") == pytest.approx(
        2 * math.pi * outer * scale, rel=0.02
    )
    assert one(result, "gratio") == pytest.approx(inner / outer, abs=0.01)
    assert one(result, "x0 (px)") == pytest.approx(110.6, abs=0.1)
    assert one(result, "y0 (px)") == pytest.approx(100.3, abs=0.1)
    assert one(result, "eccentricity") < 0.15
    assert one(result, "solidity") == pytest.approx(1, abs=0.01)
    assert one(result, "image_border_touching") == 0


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1, -0.7, -1.4])
def test_ellipse_of_known_shape(angle):
    shape, major, minor = (240, 240), 70.0, 35.0
    classes = np.zeros(shape, np.uint8)
    classes[ellipse(shape, 120, 120, major + 10, minor + 10, angle)] = 127
    classes[ellipse(shape, 120, 120, major, minor, angle)] = 255
    result = measure_mask(classes, MeasureParameters(axon_shape="ellipse"))
    assert one(result, "axon_diam (px)") == pytest.approx(2 * minor, rel=0.01)
    assert one(result, "axonmyelin_diam (px)") == pytest.approx(2 * minor + 20, rel=0.01)
    assert one(result, "myelin_thickness (px)") == pytest.approx(10, rel=0.03)
    assert one(result, "gratio") == pytest.approx(minor / (minor + 10), abs=0.01)
    assert one(result, "eccentricity") == pytest.approx(math.sqrt(0.75), abs=0.005)
    assert one(result, "orientation") == pytest.approx(angle, abs=0.01)
    # Ramanujan's approximation of an ellipse's perimeter
    h = ((major - minor) / (major + minor)) ** 2
    ring = math.pi * (major + minor) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert one(result, "axon_perimeter (px)") == pytest.approx(ring, rel=0.03)
    round_diameter = measure_mask(classes).fibres["axon_diam (px)"][0]
    assert round_diameter == pytest.approx(2 * math.sqrt(major * minor), rel=0.01)


@pytest.fixture
def blobs():
    rng = np.random.default_rng(5)
    field = ndimage.gaussian_filter(rng.normal(size=(700, 1700)), 3)  # more than one strip
    labels, count = ndimage.label(field > 0.07)
    assert count > 500
    labels[1, 1], labels[3, 5:20], labels[5:20, 30] = count + 1, count + 2, count + 4
    return labels.astype(np.int32)


def test_equals_scikit_image(blobs):
    names = ("area", "centroid", "bbox", "axis_major_length", "axis_minor_length", "eccentricity")
    expected = skimage_measure.regionprops_table(
        blobs, properties=("label", *names, "orientation", "perimeter_crofton")
    )
    runs = find_runs(blobs)
    shape = moments(runs)
    assert np.array_equal(runs.ids, expected["label"])
    assert np.array_equal(runs.areas(), expected["area"])
    assert np.array_equal(runs.boxes(), np.stack([expected[f"bbox-{i}"] for i in range(4)], 1))
    for ours, theirs in (
        (shape.y, "centroid-0"),
        (shape.x, "centroid-1"),
        (shape.major, "axis_major_length"),
        (shape.minor, "axis_minor_length"),
        (shape.eccentricity, "eccentricity"),
        (perimeters(blobs, runs), "perimeter_crofton"),
    ):
        assert np.allclose(ours, expected[theirs], atol=1e-4), theirs
    elongated = shape.eccentricity > 0.1  # a round region has no direction
    apart = np.abs(shape.orientation - expected["orientation"])[elongated]
    assert np.minimum(apart, math.pi - apart).max() < 1e-4


def test_hull_counts_the_pixels_of_the_convex_hull(blobs):
    runs = find_runs(blobs)
    counted = hull_areas(runs)
    for region in skimage_measure.regionprops(blobs)[::9]:
        y, x = region.coords.T
        points = np.stack([y, x], 1)
        if np.linalg.matrix_rank(points - points[0]) < 2:
            continue
        sides = ConvexHull(points).equations
        grid = np.stack(np.nonzero(np.ones(region.image.shape)), 1) + region.bbox[:2]
        inside = (grid @ sides[:, :2].T + sides[:, 2] <= 1e-9).all(axis=1).sum()
        assert counted[np.searchsorted(runs.ids, region.label)] == inside
    areas = dict(zip(runs.ids, counted, strict=True))
    assert [areas[runs.ids.max() - k] for k in (0, 2, 3)] == [15, 15, 1]


def test_labels_of_any_number_and_labels_without_axon():
    classes = annulus((80, 200), (40, 40, 12, 18), (40, 100, 10, 15), (40, 160, 8, 12))
    labels = label_fibres(classes)
    plain = measure(labels, classes)
    odd = np.array([0, 2_000_000_000, 7, 30_000], np.int64)[labels]
    odd[0, 0] = 5  # painted on background
    odd[(labels == 2) & (classes == 255)] = 0  # a fibre whose axon was erased
    result = measure(odd, classes)
    assert result.fibres["label"].tolist() == [30_000, 2_000_000_000]
    assert result.fibres["gratio"].tolist() == plain.fibres["gratio"][[2, 0]].tolist()


def test_image_figures():
    classes = annulus((100, 200), (50, 50, 20, 30), (50, 150, 10, 20), (0, 100, 15, 15))
    result = measure_mask(classes, MeasureParameters(pixel_size=0.1))
    axon, myelin = (classes == 255).sum(), (classes == 127).sum()
    image = result.image
    assert image["fibres"] == 3
    assert image["myelinated_fibres"] == 2
    assert image["avf"] == pytest.approx(axon / 20_000)
    assert image["mvf"] == pytest.approx(myelin / 20_000)
    assert image["gratio_aggr"] == pytest.approx(math.sqrt(1 / (1 + myelin / axon)))
    assert image["mean_gratio"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=0.01)
    assert image["mean_myelin_thickness (um)"] == pytest.approx(1.0, rel=0.03)
    assert image["mean_axon_diam (um)"] == pytest.approx(result.fibres["axon_diam (um)"].mean())
    assert image["axon_density (mm^-2)"] == pytest.approx(3 / (20_000 * 0.1**2) * 1e6)
    assert measure_mask(classes).image["axon_density (px^-2)"] == pytest.approx(3 / 20_000)
    # The axon cut by the edge has no myelin, so no g-ratio; its thickness is a true zero.
    cut = np.flatnonzero(result.fibres["image_border_touching"])
    assert np.isnan(result.fibres["gratio"][cut]).tolist() == [True]
    assert result.fibres["myelin_thickness (um)"][cut].tolist() == [0]


@pytest.mark.parametrize(("y", "x"), [(0, 50), (99, 50), (50, 0), (50, 99)])
def test_border_is_flagged_and_left_out_on_demand(y, x):
    classes = annulus((100, 100), (y, x, 8, 12), (50, 50, 8, 12))
    flags = measure_mask(classes).fibres["image_border_touching"]
    assert sorted(flags.tolist()) == [0, 1]
    inner = measure_mask(classes, MeasureParameters(exclude_border=True))
    assert inner.fibres["image_border_touching"].tolist() == [0]
    assert inner.image["fibres"] == 1
    both = measure_mask(classes).image
    for name in ("avf", "mvf", "axon_density (px^-2)"):
        assert inner.image[name] == both[name]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (64, 64)])
def test_nothing_to_measure(shape, tmp_path):
    result = measure_mask(np.zeros(shape, np.uint8), MeasureParameters(pixel_size=0.1))
    assert all(len(values) == 0 for values in result.fibres.values())
    assert result.image["fibres"] == 0
    assert result.image["avf"] == 0
    assert math.isnan(result.image["mean_gratio"])
    table, summary = result.write_csv(tmp_path / "none.csv")
    assert len(table.read_text().splitlines()) == 1
    assert json.loads(summary.read_text())["image"]["mean_gratio"] is None


def test_single_pixel_and_all_axon_images():
    single = measure_mask(np.full((1, 1), 255, np.uint8))
    assert one(single, "axon_area (px^2)") == 1
    assert one(single, "solidity") == 1
    assert one(single, "eccentricity") == 0
    whole = measure_mask(np.full((30, 60), 255, np.uint8))
    assert one(whole, "axon_area (px^2)") == 1800
    assert one(whole, "solidity") == 1
    assert one(whole, "image_border_touching") == 1
    assert one(whole, "orientation") == pytest.approx(math.pi / 2, abs=1e-9)
    assert whole.image["avf"] == 1


def test_stray_values_go_to_the_nearest_class():
    clean = annulus((100, 100), (50, 50, 20, 30))
    stray = clean.copy()
    stray[clean == 127] = 128
    stray[50, 71:80] = [140, 110, 100, 130, 120, 66, 128, 190, 128]
    stray[0, 0], stray[50, 50] = 40, 200
    a, b = measure_mask(clean), measure_mask(stray)
    for key in a.fibres:
        assert np.array_equal(a.fibres[key], b.fibres[key]), key


@pytest.mark.parametrize(
    "mask",
    [
        np.eye(40, dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8),
        np.full((40, 40), 100, np.uint8),
        np.zeros((3, 40, 40), np.uint8),
    ],
)
def test_what_is_no_mask_is_refused_by_name(mask):
    with pytest.raises(InputError, match=r"rat7\.png"):
        measure_mask(mask, name="rat7.png")


@pytest.mark.parametrize("pixel_size", [0, -1, 0.0, float("nan"), float("inf"), 2000, 1e-6])
def test_impossible_pixel_size_is_named_with_its_range(pixel_size):
    with pytest.raises(InputError, match=r"1e-05 and 1000"):
        MeasureParameters(pixel_size=pixel_size)


def test_other_bad_parameters_and_mismatched_images():
    with pytest.raises(ValidationError):
        MeasureParameters(axon_shape="square")
    with pytest.raises(InputError, match="do not belong together"):
        measure(np.zeros((4, 5), np.int32), np.zeros((5, 4), np.uint8))
    with pytest.raises(InputError, match="float"):
        measure(np.zeros((4, 5)), np.zeros((4, 5), np.uint8))


def test_every_column_is_described_and_written_once(tmp_path):
    classes = annulus((120, 200), (60, 60, 20, 30), (60, 150, 20, 20))
    result = measure_mask(classes, MeasureParameters(pixel_size=0.1, min_diameter=2))
    keys = [column.key("um") for column in FIBRE_COLUMNS]
    assert list(result.fibres) == keys
    assert list(result.image) == [column.key("um") for column in IMAGE_COLUMNS]
    assert set(result.descriptions()) == {*keys, *result.image}
    assert all(text.endswith(".") for text in result.descriptions().values())

    table, summary = result.write_csv(tmp_path / "rat.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == keys
    assert [row["label"] for row in rows] == ["1", "2"]
    assert float(rows[0]["axon_diam (um)"]) == pytest.approx(
        result.fibres["axon_diam (um)"][0], rel=1e-6
    )
    assert [row["gratio"] == "" for row in rows] == [False, True]
    assert summary == tmp_path / "rat_image.json"
    written = json.loads(summary.read_text())
    assert written["image"]["avf"] == pytest.approx(result.image["avf"])
    assert written["recipe"]["verb"] == "measure"
    assert MeasureParameters(**written["recipe"]["parameters"]) == result.parameters
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rat.csv", "rat_image.json"]


def test_columns_of_axondeepseg_are_there():
    result = measure_mask(annulus((50, 50), (25, 25, 8, 12)), MeasureParameters(pixel_size=0.1))
    theirs = {
        "x0 (px)", "y0 (px)", "gratio", "axon_area (um^2)", "axon_perimeter (um)",
        "myelin_area (um^2)", "axon_diam (um)", "myelin_thickness (um)", "axonmyelin_area (um^2)",
        "axonmyelin_perimeter (um)", "solidity", "eccentricity", "orientation",
        "image_border_touching",
    }  # fmt: skip
    assert theirs <= set(result.fibres)
