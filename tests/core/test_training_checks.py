"""Before a training: every defect of a data set is named, with the file and what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.classes import AXON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.datasets import LabelledImage, make_fields
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.events import Progress, run
from napari_axongen.core.files import write_image
from napari_axongen.core.image import Image
from napari_axongen.core.training import load_recipe
from napari_axongen.core.training.checks import (
    Finding,
    check_data,
    check_data_steps,
    check_images,
)
from napari_axongen.core.training.presets import starting_recipe

SIDE = 96


@functools.cache
def made(seed: int) -> LabelledImage:
    return make_fields("SEM", 1, SIDE, seed)[0]


def field(seed: int, name: str = "", **changes: object) -> LabelledImage:
    """A labelled micrograph of an animal of its own."""
    values = {
        "grey": np.asarray(made(seed).image.data),
        "classes": made(seed).classes.copy(),
        "pixel_size": 0.1,
        "animal": f"animal-{seed}",
        **changes,
    }
    image = Image(values["grey"], "YX", values["pixel_size"], name or f"field-{seed}")
    return LabelledImage(image, values["classes"], str(values["animal"]))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes images as a folder of pairs."""

    def write(*images: LabelledImage, classes: Sequence[str] = FIBRE_CLASSES) -> Path:
        return write_pairs(tmp_path / "data", images, classes)

    return write


def found_in(root: Path, preset: str = "axon-myelin-sem", **changes: object) -> list[Finding]:
    data = {"source": "folder", "root": str(root), "validation": ["animal-2"]}
    entries = {"optimisation": {"crop": 64}, "pixel_size": 0.1, **changes}
    return check_data(starting_recipe(preset, name="mine", data=data, **entries))


def the_only(findings: list[Finding], level: str, where: str, *said: str) -> None:
    """There is one finding, of this level, about this file, that says all of it."""
    assert [finding.level for finding in findings] == [level], findings
    assert where in findings[0].where
    for words in said:
        assert words in findings[0].sentence


def test_good_data_is_without_findings(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    assert found_in(root) == []
    recipe = starting_recipe(
        "axon-myelin-sem",
        name="mine",
        data={"source": "folder", "root": str(root), "validation": ["animal-2"]},
        optimisation={"crop": 64},
    )
    events: list = []
    run(check_data_steps(recipe), events.append)
    assert [e.done for e in events if isinstance(e, Progress)] == [0, 1, 2]


def test_sizes_that_differ(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    write_image(root / "field-1_seg-axonmyelin.png", np.zeros((SIDE, 50), np.uint8))
    findings = found_in(root)
    the_only(findings, "error", "field-1.tif", "96 x 96", "96 x 50", "must have the same size")


def test_values_that_are_no_classes(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    ramp = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 200
    write_image(root / "field-1_seg-axonmyelin.png", ramp.astype(np.uint8))
    findings = found_in(root)
    the_only(findings, "error", "field-1.tif", "from 0 to 199", "127 myelin and 255 axon")


def test_an_image_without_a_mask_is_left_out(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2), field(3))
    (root / "field-3_seg-axonmyelin.png").unlink()
    the_only(found_in(root), "warning", "data", "field-3.tif has no mask", "add one")


def test_an_empty_truth(folder: Callable[..., Path]) -> None:
    empty = np.zeros((SIDE, SIDE), np.uint8)
    root = folder(field(1), field(2), field(3, classes=empty))
    the_only(
        found_in(root), "warning", "field-3.tif", "no myelin and no axon", "take the image out"
    )


def test_a_truth_without_myelin(folder: Callable[..., Path]) -> None:
    axons = field(3)
    axons.classes[axons.classes == 1] = 0
    root = folder(field(1), field(2), axons)
    the_only(found_in(root), "warning", "field-3.tif", "has no myelin in its truth")


def test_nothing_labelled_in_any_image_to_train_on(folder: Callable[..., Path]) -> None:
    root = folder(field(1, classes=np.zeros((SIDE, SIDE), np.uint8)), field(2))
    first, second = found_in(root)
    assert (first.level, second.level) == ("error", "warning")
    assert "Nothing is labelled in the 1 image(s) of 'train'" in first.sentence


def test_a_truth_that_is_unknown_everywhere(folder: Callable[..., Path]) -> None:
    unknown = np.full((SIDE, SIDE), IGNORED, np.uint8)
    root = folder(field(1), field(2), field(3, classes=unknown))
    the_only(found_in(root), "error", "field-3.tif", "unknown everywhere")


def test_a_constant_image(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2), field(3, grey=np.full((SIDE, SIDE), 7, np.uint8)))
    the_only(found_in(root), "error", "field-3.tif", "same grey value everywhere")


def test_no_pixel_size_where_one_is_wanted(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2), field(3, pixel_size=None))
    the_only(found_in(root), "error", "field-3.tif", "has no pixel size")
    assert found_in(root, pixel_size=None) == []


def test_axons_of_another_size_than_the_others(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2), field(3, pixel_size=0.5), field(4))
    findings = found_in(root)
    the_only(findings, "warning", "field-3.tif", "median diameter of", "mend its pixel size")
    assert found_in(root, pixel_size=None) == []


def test_an_animal_on_both_sides_or_unknown(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    data = {"source": "folder", "root": str(root)}
    for part, said in (
        ({"train": ["animal-1", "animal-2"], "validation": ["animal-2"]}, "train and in val"),
        ({"validation": ["animal-9"]}, "the animals are animal-1, animal-2"),
        ({"validation": ["animal-1", "animal-2"]}, "No animal is left to train on"),
    ):
        recipe = starting_recipe("axon-myelin-sem", name="mine", data=data | part)
        the_only(check_data(recipe), "error", "data", said)


def test_images_whose_animal_is_not_known(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2, name="animal-2"))
    (root / "animals.csv").unlink()
    the_only(found_in(root), "warning", "data", "name no animal", "animals.csv")


def test_nothing_held_out(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    data = {"source": "folder", "root": str(root), "test": ["animal-2"]}
    recipe = starting_recipe("axon-myelin-sem", name="x", data=data, optimisation={"crop": 64})
    the_only(check_data(recipe), "warning", "data", "Nothing is held out", "name an animal")


def test_fewer_pixels_than_a_crop(folder: Callable[..., Path]) -> None:
    root = folder(field(1), field(2))
    findings = found_in(root, optimisation={"crop": 128})
    the_only(findings, "warning", "field-1.tif", "1 of 1 images", "128 x 128", "with 96 x 96")
    the_only(found_in(root, pixel_size=0.2), "warning", "field-1.tif", "64 x 64", "with 48 x 48")


def test_the_same_image_on_both_sides(folder: Callable[..., Path]) -> None:
    again = field(1, name="copy", animal="animal-2")
    root = folder(field(1), field(3), field(3, name="copy-3", animal="animal-5"), again)
    findings = found_in(root)  # twice on one side is not said
    the_only(findings, "error", "copy.tif", "(val)", "field-1.tif (train)", "are the same image")


def test_fluorescence_and_what_a_translator_cannot_use(folder: Callable[..., Path]) -> None:
    images = [field(1), field(2)]
    for image in images:
        image.classes[image.classes > 1] = 0
        image.classes[:9] = IGNORED
    root = folder(*images, classes=AXON_CLASSES)
    assert found_in(root, "axon-fluorescence") == []
    findings = found_in(root)
    the_only(findings, "error", "data", "no mask of axons and myelin")


def test_translators_and_denoisers_are_checked_too(folder: Callable[..., Path]) -> None:
    part = field(3)
    part.classes[:9] = IGNORED
    root = str(folder(field(1), field(2), part))
    target = {"root": root, "train": ["animal-1", "animal-3"]}
    entries = {"source": "TEM", "contrast": "SEM", "optimisation": {"crop": 64}}
    recipe = starting_recipe(
        "translator",
        name="mine",
        data=target,
        sources={"root": root, "train": ["animal-1"], "validation": ["animal-2"]},
        axon_diameter=30,
        **entries,
    )
    the_only(check_data(recipe), "error", "field-3.tif", "unknown in part")
    denoiser = {"SEM": {"root": "nowhere", "train": ["animal-1"], "validation": ["animal-2"]}}
    recipe = starting_recipe("denoiser", name="mine", data=denoiser)
    the_only(check_data(recipe), "error", "nowhere", "was not found")


def test_surrogates_with_bad_parameters() -> None:
    data = {"source": "surrogate", "parameters": {"axons": {"colour": 3}}, "held_out": 0}
    recipe = starting_recipe("axon-fluorescence", name="mine", data=data)
    bad, alone = check_data(recipe)
    assert (bad.level, alone.level) == ("error", "warning")
    assert "axons.colour" in bad.sentence
    assert "Nothing is held out" in alone.sentence


def test_open_images_are_checked_by_their_layers_names() -> None:
    data = {"source": "folder", "root": "later", "validation": ["animal-2"]}
    recipe = starting_recipe("axon-myelin-sem", name="x", data=data, optimisation={"crop": 64})
    flat = field(3, name="my layer", grey=np.ones((SIDE, SIDE)))
    assert check_images([field(1), field(2)], recipe) == []
    the_only(check_images([field(1), field(2), flat], recipe), "error", "my layer", "my layer has")


def test_the_data_of_a_shipped_recipe_are_good(
    shared_data: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXONGEN_DATA", str(shared_data))
    assert check_data(load_recipe(repository / "recipes" / "axon-myelin-tem.yaml")) == []
