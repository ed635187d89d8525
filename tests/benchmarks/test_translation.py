"""The judging of translations, from images to page, on fields and with a translator untrained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from benchmarks import translation, translation_images, translation_trials
from benchmarks.translation_images import DIRECTIONS, centre, harmonise, mosaic
from benchmarks.translation_trials import ARMS, kept, trial

from napari_axongen.core.datasets import LabelledImage, make_fields
from napari_axongen.core.image import Image
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.models.card import Card, Looks
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import build

DIRECTION = DIRECTIONS["tem-to-sem"]


def fields(contrast: Literal["TEM", "SEM"], animals: tuple[str, ...]) -> list[LabelledImage]:
    """One field of each animal."""
    found = []
    for field, animal in zip(make_fields(contrast, len(animals), 260, 3), animals, strict=True):
        image = Image(field.image.data, "YX", field.image.pixel_size, f"{animal}_x.png")
        found.append(LabelledImage(image, field.classes, animal))
    return found


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fields in place of micrographs, two animals to train on and two to judge by."""
    found = {
        domain.root: fields(domain.contrast, ("sub-a", "sub-b", *domain.test))
        for domain in (translation_images.SEM, translation_images.TEM)
    }
    monkeypatch.setattr(translation_images, "data_folder", lambda root: root)
    monkeypatch.setattr(translation_images, "load_bids", lambda root: found[root])
    quick = {"optimisation": {"steps": 2, "batch": 2, "crop": 32}, "validate_every": 2}
    network = {"network": {"name": "unet", "channels": [2, 4]}}
    monkeypatch.setattr(translation_trials, "SETTING", quick | network)
    for cached in (translation_images.native, translation_images.images):
        cached.cache_clear()
    yield
    for cached in (translation_images.native, translation_images.images):
        cached.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A translator that has learnt nothing."""
    torch.manual_seed(0)
    network = {"name": "translator", "channels": [4, 4]}
    card = Card(
        name="untrained",
        task="translation",
        source="TEM",
        contrast="SEM",
        network=network,
        classes=["grey"],
        axon_diameter=28,
        grey_range=(30, 220),
    )
    path = tmp_path / "untrained.safetensors"
    save_model(path, build(network), card)
    return str(path)


@pytest.fixture
def denoiser(tmp_path: Path) -> str:
    """A denoiser that has learnt nothing."""
    torch.manual_seed(0)
    network = {"name": "denoiser", "channels": [4, 4]}
    looks = Looks(grey_range=(30, 220), quantiles=[0.0, 0.5, 1.0])
    card = Card(
        name="untrained-denoiser",
        task="diffusion",
        network=network,
        classes=["grey"],
        axon_diameter=32,
        looks={"TEM": looks, "SEM": looks},
    )
    path = tmp_path / "untrained-denoiser.safetensors"
    save_model(path, build(network), card)
    return str(path)


def test_an_image_is_brought_to_the_axon_diameter() -> None:
    (field,) = fields("SEM", ("sub-a",))
    scaled = harmonise(field, 20)
    assert median_axon_diameter([scaled.classes == 2]) == pytest.approx(20, rel=0.08)
    np.testing.assert_allclose(np.percentile(scaled.image.read(()), (1, 99)), [0, 1], atol=1e-4)


def test_a_mosaic_holds_its_parts_with_their_classes() -> None:
    parts = [centre(field, 100) for field in fields("TEM", ("sub-a", "sub-b"))]
    large = mosaic(parts, 250)
    assert large.classes.shape == large.image.plane_shape == (250, 250)
    np.testing.assert_array_equal(large.classes[:100, 100:200], parts[1].classes)
    np.testing.assert_array_equal(large.image.read(())[:100, 100:200], parts[1].image.read(()))


def test_a_trial_is_kept_until_its_setting_changes(
    data: None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = trial(DIRECTION, "mask", 1, tmp_path, model)
    assert len(scores) == len(DIRECTION.target.test)
    assert all(0 <= value <= 1 for pair in scores.values() for value in pair)
    assert kept(DIRECTION, "mask", 1, tmp_path, model) == scores
    assert kept(DIRECTION, "mask", 0, tmp_path, model) is None
    other = dict(translation_trials.SETTING, network={"name": "unet", "channels": [2, 6]})
    monkeypatch.setattr(translation_trials, "SETTING", other)
    assert kept(DIRECTION, "mask", 1, tmp_path, model) is None


def test_each_arm_trains_on_the_source_s_or_the_target_s_animals_alone(
    data: None, model: str, denoiser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation_trials, "LAYOUTS", 2)
    monkeypatch.setattr(translation_trials, "LAYOUT_SIDE", 64)
    given, made_up = {"sub-a", "sub-b"}, {"sub-made000", "sub-made001"}
    alone = ("nothing", "diffused-nothing", "diffused-nothing-guided")
    blends = ("both", "blend", "diffused-blend")
    animals = dict.fromkeys((*blends, "layouts"), given | made_up) | dict.fromkeys(alone, made_up)
    counts = dict.fromkeys(("source", "inversion", "real", *alone), 2)
    counts |= dict.fromkeys(blends, 4) | {"layouts": 10}
    for name, arm in ARMS.items():
        made = arm.images(DIRECTION, denoiser if arm.model == "diffusion" else model, 0)
        assert {image.animal for image in made} == animals.get(name, given)
        assert len(made) == counts.get(name, 8)
        assert all(image.classes.max() == 2 for image in made)
        assert all(image.image.plane_shape == image.classes.shape for image in made)


def test_renderings_of_one_mask_differ(data: None, model: str) -> None:
    made = ARMS["mask"].images(DIRECTION, model, 0)
    greys = [image.image.read(()) for image in made if image.animal == "sub-a"]
    assert all((one != other).any() for one, other in combinations(greys, 2))


def test_from_images_to_the_page(
    data: None, model: str, denoiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    begin, end = (mark.format("tem-to-sem") for mark in (translation.BEGIN, translation.END))
    page.write_text(f"Before\n{begin}\nold\n{end}\nAfter\n")
    monkeypatch.setattr(translation, "PAGE", page)
    monkeypatch.setattr(translation, "SIDE", 192)
    monkeypatch.setattr(translation, "LARGE", 800)
    monkeypatch.setattr(translation, "SEEDS", (0, 1))
    monkeypatch.setattr(translation, "STEPS", (1, 1, 1))
    monkeypatch.setattr(translation, "BRIDGE_STEPS", 1)
    shown, all_rows = ("default, from masks", "one click", "DDIB"), translation.rows
    monkeypatch.setattr(
        translation,
        "rows",
        lambda *of: (row for row in all_rows(*of) if any(name in row[0] for name in shown)),
    )
    command = ["x", "--direction", "tem-to-sem", "--model", model, "--runs", str(tmp_path)]
    command += ["--diffusion", denoiser]
    arms = ["--arms", "inversion", "real", "mask", "--seeds", "0", "1"]
    monkeypatch.setattr("sys.argv", [*command, *arms])
    translation.main()
    text = page.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("After\n")
    assert "old" not in text
    diffused = ("re-render, 1 steps, one click", "DDIB, 2 x 1 steps, from masks")
    usual = ("identity", "inversion + histogram", "default, one click", "real target")
    for row in (*usual, *diffused):
        assert text.count(f"| {row} |") >= 1
    result = json.loads((tmp_path / "tem-to-sem" / "mask-1.json").read_text())
    assert set(result["dice"]) == {"sub-rat3_x.png", "sub-rat4_x.png"}


def test_without_the_data_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AXONGEN_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for cached in (translation_images.native, translation_images.images):
        cached.cache_clear()
    monkeypatch.setattr("sys.argv", ["x", "--runs", str(tmp_path)])
    monkeypatch.setattr(translation, "PAGE", tmp_path / "page.md")
    translation.main()
    assert not (tmp_path / "page.md").exists()
    assert "was not found" in " ".join(capsys.readouterr().err.split())
