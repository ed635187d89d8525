"""Open images with labels or points as a folder of pairs: what is taken for what; the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.classes import AXON_CLASSES, BOUTON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.datasets import LabelledImage
from napari_axongen.core.datasets.labels import classes_of, classes_of_points
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.datasets.sources import load_labelled
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import read_image
from napari_axongen.core.image import Image

SHAPE = (40, 50)


def fibres() -> np.ndarray:
    """Classes of two fibres, one with its sheath, one whose sheath touches the border."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    found = np.zeros(SHAPE, np.uint8)
    for row, column in ((15, 15), (30, 44)):
        distance = np.hypot(rows - row, columns - column)
        found[distance <= 9] = 1
        found[distance <= 6] = 2
    return found


# ---------------------------------------------------------------- to files and back


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("classes", [FIBRE_CLASSES, AXON_CLASSES, BOUTON_CLASSES])
def test_images_come_back_as_they_were(
    tmp_path: Path, classes: tuple[str, ...], dtype: str
) -> None:
    rng = np.random.default_rng(0)
    images = []
    # Names that would be taken for a mask, for another file's, or for a path.
    for index, name in enumerate(["a_mask", "mask_3", "b.tif", "B.TIF", "sub-1/c_seg-axon", "é"]):
        truth = rng.integers(0, len(classes), SHAPE, dtype=np.uint8)
        if index % 2:
            truth[5:9, 7:] = IGNORED
        grey = (rng.random(SHAPE) * 250).astype(dtype)
        size = None if index == 2 else 0.1 + index / 7
        images.append(LabelledImage(Image(grey, "YX", size, name), truth, f"animal {index}"))
    write_pairs(tmp_path / "data", images, classes)
    back = {image.animal: image for image in load_labelled(tmp_path / "data", classes)}
    assert len(back) == len(images)
    for image in images:
        found = back[image.animal]
        assert found.image.data.dtype == dtype
        np.testing.assert_array_equal(found.image.data, image.image.data)
        np.testing.assert_array_equal(found.classes, image.classes)
        if image.image.pixel_size is None:
            assert found.image.pixel_size is None
        else:
            assert found.image.pixel_size == pytest.approx(image.image.pixel_size, rel=1e-6)


def test_unknown_pixels_are_background_to_other_programs(tmp_path: Path) -> None:
    truth = fibres()
    truth[:, 30:] = IGNORED
    image = LabelledImage(Image(np.ones(SHAPE, np.uint8), "YX", name="x"), truth, "x")
    write_pairs(tmp_path / "data", [image], FIBRE_CLASSES)
    mask = read_image(tmp_path / "data" / "x_seg-axonmyelin.png").data
    assert set(np.unique(mask)) == {0, 127, 255}
    assert not mask[:, 30:].any()


def test_no_folder_is_written_over(tmp_path: Path) -> None:
    image = LabelledImage(Image(np.ones(SHAPE, np.uint8), "YX", name="x"), fibres(), "x")
    write_pairs(tmp_path / "data", [image], FIBRE_CLASSES)
    with pytest.raises(InputError, match="holds files already"):
        write_pairs(tmp_path / "data", [image], FIBRE_CLASSES)
    with pytest.raises(InputError, match="no image"):
        write_pairs(tmp_path / "none", [], FIBRE_CLASSES)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1, 2], "1 is myelin, 2 axon"),
        ([0, 2, 1], "1 is axon, 2 myelin"),
        ([0, 127, 255], "127 is myelin, 255 axon"),
        ([0, 128, 255], "127 is myelin, 255 axon"),
    ],
)
def test_labels_of_fibres(values: list[int], said: str) -> None:
    found, sentence = classes_of(np.array(values)[fibres()], FIBRE_CLASSES)
    np.testing.assert_array_equal(found, fibres())
    assert found.dtype == np.uint8
    assert said in sentence


def test_a_mask_file_may_have_a_few_values_between_its_classes() -> None:
    labels = np.array([0, 128, 255])[fibres()]
    labels[0, :3] = 130, 233, 7
    found, sentence = classes_of(labels, FIBRE_CLASSES)
    assert "127 is myelin" in sentence
    assert np.array_equal(found[1:], fibres()[1:])
    assert found[0, :3].tolist() == [1, 2, 0]


def test_two_layers_of_one_image() -> None:
    axon = np.where(fibres() == 2, np.arange(SHAPE[1]) // 30 + 7, 0)  # numbered
    whole = fibres() > 0  # reaches below the axon
    found, sentence = classes_of(axon, FIBRE_CLASSES, whole)
    np.testing.assert_array_equal(found, fibres())
    assert "of the other myelin" in sentence
    with pytest.raises(InputError, match="same image"):
        classes_of(axon, FIBRE_CLASSES, whole[1:])


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ((fibres() == 2) * 255, "one label and"),
        (fibres() == 2, "one label and"),
        (np.where(fibres() > 0, np.arange(SHAPE[1]) // 30 + 1, 0), "2 labels, which number"),
        (np.arange(2000).reshape(SHAPE), "1999 labels, which number"),
    ],
)
def test_labels_that_cannot_tell_axon_from_myelin(labels: np.ndarray, held: str) -> None:
    with pytest.raises(InputError, match=f"Layer 'x' hold {held}"):
        classes_of(labels, FIBRE_CLASSES, name="Layer 'x'")


@pytest.mark.parametrize("values", [[0, 1, 1], [0, 255, 255], [0, 4, 1000]])
def test_any_label_is_the_one_class_of_fluorescence(values: list[int]) -> None:
    found, sentence = classes_of(np.array(values)[fibres()], AXON_CLASSES)
    np.testing.assert_array_equal(found, fibres() > 0)
    assert "every label is axon" in sentence


def test_what_is_no_labels_is_said() -> None:
    with pytest.raises(InputError, match="whole numbers"):
        classes_of(np.zeros(SHAPE), AXON_CLASSES)
    with pytest.raises(InputError, match="one plane"):
        classes_of(np.zeros((2, *SHAPE), int), AXON_CLASSES)
    found, sentence = classes_of(np.zeros(SHAPE, int), FIBRE_CLASSES)
    assert not found.any()
    assert "empty" in sentence


# ---------------------------------------------------------------- points


def test_points_are_discs_with_a_ring_of_unknown() -> None:
    found = classes_of_points([[20, 20]], 10, SHAPE)
    distance = np.hypot(*(axis - 20 for axis in np.ogrid[: SHAPE[0], : SHAPE[1]]))
    np.testing.assert_array_equal(found == 1, distance <= 5)
    np.testing.assert_array_equal(found == IGNORED, (distance > 5) & (distance <= 7))


def test_every_point_has_a_pixel_and_no_ring_hides_another() -> None:
    found = classes_of_points([[0.5, 0.5], [10, 10], [12, 10], [39.4, 60]], [0, 1, 1, 1], SHAPE)
    assert found[:2, :2].min() == found[:2, :2].max() == 1
    assert found[10, 10] == found[12, 10] == 1
    assert found[11, 10] == IGNORED
    assert (found == 1).sum() == 6  # the last lies outside
