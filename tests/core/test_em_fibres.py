"""Fibre layouts: the laws asked for, the images that show them, and the files of many."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage, stats

import napari_axongen
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, run
from napari_axongen.core.files import read_image, read_mask
from napari_axongen.core.instances import label_fibres
from napari_axongen.core.surrogate.em_export import em_fibres_steps
from napari_axongen.core.surrogate.em_layout import EmLayout, em_fibres, shortfall
from napari_axongen.core.surrogate.em_parameters import PRESETS, EmFibreParameters

SMALL = {"width": 96, "height": 80}


def made(preset: str = "sem", **changes: Any) -> EmFibreParameters:
    return EmFibreParameters(**{**PRESETS[preset].model_dump(), **changes})


def column(layouts: list[EmLayout], name: str, **where: int) -> np.ndarray:
    """A column of all tables, of the fibres whose centre lies in the image."""
    found = []
    for layout in layouts:
        chosen = layout.fibres["centre_inside"] == 1
        for key, value in where.items():
            chosen &= layout.fibres[key] == value
        found.append(layout.fibres[name][chosen])
    return np.concatenate(found)


def law(kind: str, mean: float, sd: float) -> Any:
    if kind == "gamma":
        return stats.gamma((mean / sd) ** 2, scale=sd**2 / mean)
    spread = math.sqrt(math.log(1 + (sd / mean) ** 2))
    return stats.lognorm(spread, scale=mean * math.exp(-(spread**2) / 2))


@pytest.fixture(scope="module", params=["lognormal", "gamma"])
def tissue(request):
    """Some 1,500 fibres in eight images, and half as many axons without myelin."""
    parameters = made(diameter_law=request.param, unmyelinated=0.35, gratio_sd=0.05, fraction=0.55)
    return parameters, [em_fibres(parameters, 3, index) for index in range(8)]


# ---------------------------------------------------------------- laws


def test_diameters_follow_their_law(tissue):
    p, layouts = tissue
    for myelinated, mean, sd in (
        (1, p.diameter_mean, p.diameter_sd),
        (0, p.unmyelinated_mean, p.unmyelinated_sd),
    ):
        diameters = column(layouts, "axon_diam (um)", myelinated=myelinated)
        assert len(diameters) > 700
        assert stats.kstest(diameters, law(p.diameter_law, mean, sd).cdf).pvalue > 0.01


def test_the_two_laws_can_be_told_apart(tissue):
    p, layouts = tissue
    other = {"lognormal": "gamma", "gamma": "lognormal"}[p.diameter_law]
    diameters = column(layouts, "axon_diam (um)", myelinated=1)
    wrong = law(other, p.diameter_mean, p.diameter_sd)
    assert stats.kstest(diameters, wrong.cdf).pvalue < 0.01


def test_a_dense_packing_loses_no_size():
    p = made("tem", fraction=0.76)
    layouts = [em_fibres(p, 8, index) for index in range(20)]
    diameters = column(layouts, "axon_diam (um)")
    assert (
        stats.kstest(diameters, law("lognormal", p.diameter_mean, p.diameter_sd).cdf).pvalue > 0.01
    )


def test_gratios_follow_their_law(tissue):
    p, layouts = tissue
    gratios = column(layouts, "gratio", myelinated=1)
    assert gratios.mean() == pytest.approx(p.gratio_mean, abs=0.006)
    # The sheath of the smallest is a pixel and a half at least, so theirs are less.
    large = column(layouts, "axon_diam (um)", myelinated=1) > 10 * p.pixel_size
    cut = stats.truncnorm(-2.5, 2.5, p.gratio_mean, p.gratio_sd)
    assert stats.kstest(gratios[large], cut.cdf).pvalue > 0.01
    assert np.isnan(column(layouts, "gratio", myelinated=0)).all()


def test_part_of_unmyelinated_axons(tissue):
    p, layouts = tissue
    assert (1 - column(layouts, "myelinated")).mean() == pytest.approx(p.unmyelinated, abs=0.03)


def test_no_spread_makes_all_alike():
    layout = em_fibres(made(diameter_sd=0, gratio_sd=0, roughness=0), 0)
    assert np.allclose(layout.fibres["axon_diam (um)"], 1.8)
    assert np.allclose(layout.fibres["gratio"], 0.66)
    assert np.allclose(layout.fibres["myelin_thickness (um)"], 0.9 * (1 / 0.66 - 1))


@pytest.mark.parametrize("preset", ["tem", "sem"])
def test_measuring_a_layout_gives_what_was_put_in(preset):
    p = made(preset)
    for index in range(2):
        layout = em_fibres(p, 12, index)
        found = napari_axongen.measure(layout.classes, p.pixel_size, labels=layout.labels).fibres
        table = layout.fibres
        for key in ("label", "image_border_touching"):
            assert np.array_equal(found[key], table[key])
        whole = (found["image_border_touching"] == 0) & (table["axon_diam (um)"] > 8 * p.pixel_size)
        assert whole.sum() > 3
        for key, tolerance in (("gratio", 0.06), ("axon_diam (um)", 0.05)):
            np.testing.assert_allclose(found[key][whole], table[key][whole], rtol=tolerance)
            assert found[key][whole].mean() == pytest.approx(table[key][whole].mean(), rel=0.01)
        for key in ("x0 (px)", "y0 (px)"):
            np.testing.assert_allclose(found[key][whole], table[key][whole], atol=0.5)


# ---------------------------------------------------------------- packing


@pytest.mark.parametrize(("preset", "fraction"), [("tem", 0.6), ("tem", 0.7), ("sem", 0.7)])
def test_the_fraction_is_reached(preset, fraction):
    p = made(preset, fraction=fraction)
    layouts = [em_fibres(p, 1, index) for index in range(6)]
    assert all(layout.filled == pytest.approx(fraction, abs=0.01) for layout in layouts)
    # A TEM image holds some fifteen fibres, so that one differs much from the next.
    assert np.mean([(layout.classes > 0).mean() for layout in layouts]) == pytest.approx(
        fraction, abs=0.03
    )
    assert shortfall(layouts[0], p) is None


@pytest.mark.parametrize("preset", ["tem", "sem"])
def test_what_cannot_be_reached_is_said(preset):
    p = made(preset, fraction=0.85)
    layout = em_fibres(p, 1)
    assert 0.72 < layout.filled < 0.82
    assert "instead of 0.85" in shortfall(layout, p)


def test_no_room_at_all_ends_all_the_same():
    p = made("tem", fraction=0.8, gap=2.0, unmyelinated=0.8)
    layout = em_fibres(p, 0)
    assert 0 < layout.filled < 0.1
    assert shortfall(layout, p)


@pytest.mark.parametrize("roughness", [0.0, 0.15])
def test_fibres_are_parted(roughness):
    p = made("tem", gap=0.05, fraction=0.5, roughness=roughness, unmyelinated=0.5)
    layout = em_fibres(p, 2)
    everything = np.where(
        layout.unmyelinated > 0, layout.unmyelinated + layout.labels.max(), layout.labels
    )
    y, x = np.ogrid[-7:8, -7:8]  # the gap is 10 px
    near = y * y + x * x <= 49
    highest = ndimage.maximum_filter(everything, footprint=near)
    lowest = ndimage.minimum_filter(np.where(everything, everything, 10**6), footprint=near)
    mine = everything > 0
    assert mine.any()
    assert np.array_equal(highest[mine], everything[mine])
    assert np.array_equal(lowest[mine], everything[mine])


def test_at_the_least_gap_a_pixel_parts_them():
    layout = em_fibres(made(gap=0, fraction=0.85, roughness=0.15, unmyelinated=0.3), 2)
    everything = np.where(layout.unmyelinated > 0, -layout.unmyelinated, layout.labels)
    for one, other in ((everything[1:], everything[:-1]), (everything[:, 1:], everything[:, :-1])):
        assert not ((one != other) & (one != 0) & (other != 0)).any()


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("preset", ["tem", "sem"])
def test_images_and_table_agree(preset):
    p = made(preset, width=300, height=260, unmyelinated=0.4)
    layout = em_fibres(p, 4)
    assert layout.classes.shape == layout.labels.shape == layout.unmyelinated.shape == (260, 300)
    assert layout.classes.dtype == np.uint8
    assert layout.labels.dtype == layout.unmyelinated.dtype == np.int32
    assert set(np.unique(layout.classes)) == {0, 127, 255}
    assert (layout.classes[layout.unmyelinated > 0] == 0).all()
    assert (layout.classes[layout.labels > 0] > 0).all()
    assert (layout.labels[layout.classes == 255] > 0).all()
    assert (layout.labels == label_fibres(layout.classes)).mean() > 0.999
    assert layout.pixel_size == p.pixel_size
    for image, kind in ((layout.labels, 1), (layout.unmyelinated, 0)):
        numbers = layout.fibres["label"][layout.fibres["myelinated"] == kind]
        assert numbers.tolist() == list(range(1, image.max() + 1))
        assert set(numbers) == set(np.unique(image)) - {0}
    assert len(layout.unmyelinated[layout.unmyelinated > 0])


@pytest.mark.parametrize("preset", ["tem", "sem"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (90, 2)])
def test_tiny_images(preset, shape):
    layout = em_fibres(made(preset, height=shape[0], width=shape[1]), 0)
    assert layout.classes.shape == shape


def test_image_and_seed_decide():
    p = made(**SMALL)
    first, again, other, next_ = (
        em_fibres(p, *key).labels for key in ((1, 2), (1, 2), (2, 1), (1, 3))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, next_)


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({}, (-1, 0), "The seed is -1"),
        ({}, (0, -2), "The index is -2"),
        ({"pixel_size": 1.0}, (0, 0), "too coarse for a mean axon of 1.8 um; give at most 0.6 um"),
        ({"unmyelinated": 0.1, "unmyelinated_mean": 0.2}, (0, 0), "mean unmyelinated axon of 0.2"),
        ({"diameter_sd": 2.0}, (0, 0), "more than the mean of 1.8 um"),
        ({"width": 8192, "height": 8192, "pixel_size": 0.5}, (0, 0), "at most 200000"),
    ],
)
def test_bad_input_is_named(changes, key, said):
    with pytest.raises(InputError, match=said):
        em_fibres(made(**changes), *key)


@pytest.mark.parametrize("changes", [{"fraction": 0.9}, {"gratio_mean": 1}, {"colour": 3}])
def test_bounds(changes):
    with pytest.raises(ValidationError):
        made(**changes)


def test_every_parameter_is_described():
    for name, field in EmFibreParameters.model_fields.items():
        assert field.title, name
        assert field.description, name
    assert EmFibreParameters() == PRESETS["tem"]


def test_neither_torch_nor_napari_is_loaded():
    code = (
        "import sys\nimport napari_axongen.core.surrogate.em_export, napari_axongen.cli.em_fibres\n"
        "heavy = {'torch', 'napari', 'qtpy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- files


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_hold_the_layouts(tmp_path):
    p = made(**SMALL, unmyelinated=0.4)
    events: list[Event] = []
    assert run(em_fibres_steps(p, 3, 5, tmp_path / "a"), events.append) == tmp_path / "a"
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    with (tmp_path / "a" / "fibres.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for index in range(3):
        layout = em_fibres(p, 5, index)
        stem = tmp_path / "a" / f"{index:05d}"
        assert np.array_equal(read_mask(f"{stem}_seg-axonmyelin.png"), layout.classes)
        instances = read_image(f"{stem}_instances.tif")
        assert np.array_equal(instances.data, layout.labels)
        bare = read_image(f"{stem}_unmyelinated.png")
        assert np.array_equal(bare.data, (layout.unmyelinated > 0) * 255)
        assert instances.pixel_size == pytest.approx(0.1)
        assert bare.pixel_size == pytest.approx(0.1, rel=1e-3)
        mine = [row for row in rows if row["image"] == f"{index:05d}"]
        for key, values in layout.fibres.items():
            read = [float(row[key] or "nan") for row in mine]
            np.testing.assert_allclose(read, values, rtol=1e-6)
    recipe = json.loads((tmp_path / "a" / "parameters.json").read_text())
    assert EmFibreParameters(**recipe["parameters"]) == p
    assert (recipe["verb"], recipe["seed"], recipe["count"]) == ("generate em-fibres", 5, 3)
    assert len(content(tmp_path / "a")) == 3 * 3 + 2


def test_a_run_of_any_count_makes_the_same_images(tmp_path):
    p = made(**SMALL)
    for count in (1, 3):
        run(em_fibres_steps(p, count, 5, tmp_path / str(count)))
    few, many = content(tmp_path / "1"), content(tmp_path / "3")
    assert "00000_unmyelinated.png" not in many
    for name in ("00000_seg-axonmyelin.png", "00000_instances.tif"):
        assert few[name] == many[name]
    assert many["fibres.csv"].startswith(few["fibres.csv"])


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    p = made(**SMALL, unmyelinated=0.4)
    run(em_fibres_steps(p, 2, 7, tmp_path / "whole"))
    replace, renames = os.replace, 2 * 4 + 3
    for fatal in range(renames):
        left = [fatal]

        def stop(source: Path, target: Path, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            replace(source, target)

        out = tmp_path / str(fatal)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", stop)
            with pytest.raises(KeyboardInterrupt):
                run(em_fibres_steps(p, 2, 7, out))
        assert not (out / "parameters.json").exists()
        run(em_fibres_steps(p, 2, 7, out, resume=True))
        assert content(out) == content(tmp_path / "whole"), fatal


def test_a_killed_process_leaves_nothing_behind(tmp_path):
    p = made(**SMALL)
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from napari_axongen.core.events import run\n"
        "from napari_axongen.core.surrogate.em_export import em_fibres_steps\n"
        "from napari_axongen.core.surrogate.em_parameters import EmFibreParameters\n"
        "fsync, left = os.fsync, [6]\n"
        "def die(file):\n"
        "    left[0] -= 1\n"
        "    left[0] or os._exit(9)\n"
        "    fsync(file)\n"
        "os.fsync = die\n"
        "parameters = EmFibreParameters.model_validate_json(sys.argv[1])\n"
        "run(em_fibres_steps(parameters, 3, 7, Path(sys.argv[2])))\n"
    )
    out = tmp_path / "killed"
    arguments = [sys.executable, "-c", code, p.model_dump_json(), str(out)]
    assert subprocess.run(arguments, check=False).returncode == 9
    assert list(out.glob(".*.partial"))
    with pytest.raises(InputError, match="unfinished export; go on with --resume"):
        run(em_fibres_steps(p, 3, 7, out))
    run(em_fibres_steps(p, 3, 7, out, resume=True))
    run(em_fibres_steps(p, 3, 7, tmp_path / "whole"))
    assert content(out) == content(tmp_path / "whole")


def test_a_finished_export_is_left_alone(tmp_path):
    p = made(**SMALL)
    run(em_fibres_steps(p, 1, 0, tmp_path / "a"))
    before = content(tmp_path / "a")
    events: list[Event] = []
    run(em_fibres_steps(p, 1, 0, tmp_path / "a", resume=True), events.append)
    assert "finished" in events[0].message
    assert content(tmp_path / "a") == before
    with pytest.raises(InputError, match="already holds a data set"):
        run(em_fibres_steps(p, 1, 0, tmp_path / "a"))


def test_other_folders_are_refused(tmp_path):
    p = made(**SMALL)
    run(em_fibres_steps(p, 1, 0, tmp_path / "a"))
    for changed, count, seed, said in (
        (made(**SMALL, fraction=0.5), 1, 0, r"other fraction \(0.6, not 0.5\)"),
        (p, 2, 0, r"other count \(1, not 2\)"),
        (p, 1, 4, r"other seed \(0, not 4\)"),
    ):
        with pytest.raises(InputError, match=said):
            run(em_fibres_steps(changed, count, seed, tmp_path / "a", resume=True))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        run(em_fibres_steps(p, 1, 0, tmp_path / "b"))
    with pytest.raises(InputError, match="is a file"):
        run(em_fibres_steps(p, 1, 0, tmp_path / "b" / "thesis.txt"))
    for count in (0, 100_001):
        with pytest.raises(InputError, match=f"{count} images"):
            run(em_fibres_steps(p, count, 0, tmp_path / "c"))
    with pytest.raises(InputError, match="seed is -1"):
        run(em_fibres_steps(p, 1, -1, tmp_path / "c"))
    assert not (tmp_path / "c").exists()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "unfinished.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        run(em_fibres_steps(p, 1, 0, tmp_path / "d", resume=True))


def test_sparse_layouts_are_noticed_once(tmp_path):
    events: list[Event] = []
    p = made("tem", **SMALL, fraction=0.85)
    run(em_fibres_steps(p, 3, 0, tmp_path / "a"), events.append)
    said = [event.message for event in events if isinstance(event, Notice)]
    assert len(said) == 2
    assert said[0].startswith("Image 0: Fibres fill 0.7")
    assert "in 3 of 3 images" in said[1]


def test_memory_is_flat_in_count(tmp_path):
    p = made(**SMALL)
    run(em_fibres_steps(p, 1, 0, tmp_path / "first"))
    peaks = []
    for count in (2, 12):
        tracemalloc.start()
        run(em_fibres_steps(p, count, 0, tmp_path / str(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
