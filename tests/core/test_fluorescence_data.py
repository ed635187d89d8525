"""Fluorescence images with their truth, and what crops are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Picture

from napari_axongen.core.classes import AXON_CLASSES, BOUTON_CLASSES, IGNORED
from napari_axongen.core.datasets.fluorescence import (
    FAINT,
    box_classes,
    load_fluorescence,
    path_classes,
    visible_classes,
)
from napari_axongen.core.datasets.sources import make_surrogates
from napari_axongen.core.errors import InputError
from napari_axongen.core.image import SPARSE, Image
from napari_axongen.core.training.losses import segmentation_loss
from napari_axongen.core.training.planes import Plane
from napari_axongen.core.training.pools import Mixture, SurrogatePool
from napari_axongen.core.training.recipe import SurrogateData
from napari_axongen.core.training.showing import Tile, fullest_window

SMALL = {"preset": "two-photon", "width": 96, "height": 64}


def test_a_path_is_five_pixels_wide_and_near_a_faint_one_nothing_is_known() -> None:
    classes = path_classes([[(20, 5), (20, 60)]], [[(40, 0), (40, 63)]], (64, 64))
    assert np.flatnonzero(classes[:, 30] == 1).tolist() == [18, 19, 20, 21, 22]
    unknown = np.flatnonzero(classes[:, 30] == IGNORED)
    assert unknown.tolist() == list(range(40 - int(FAINT), 40 + int(FAINT) + 1))
    assert set(np.unique(classes)) == {0, 1, IGNORED}


def test_a_slanted_path_has_no_holes_and_may_leave_the_image() -> None:
    classes = path_classes([[(-5, -5), (70, 40)]], [], (64, 64))
    # 5 px across the path are 5 / cos of its slope along a row
    widths = (classes[4:60] == 1).sum(1)
    assert widths.min() >= 4
    assert widths.max() <= 7


def test_a_bouton_is_the_brightest_spot_of_its_box() -> None:
    grey = np.zeros((40, 40), np.float32)
    grey[15:18, 20:23] = 100
    grey[12, 14] = 180  # a hot pixel
    classes = box_classes(np.array([[10.0, 12, 12, 14]]), grey)
    rows, columns = np.nonzero(classes == 1)
    assert (rows.mean(), columns.mean()) == (16, 21)
    assert len(rows) == 29  # pixels of a disc of radius 3
    assert (classes[10:22, 12:26] != 0).all()
    assert (classes != 0).sum() == 12 * 14


def test_what_hardly_stands_out_is_not_known_and_what_does_not_is_background() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 96), int)
    grey = np.full(labels.shape, 100.0)
    for number, (row, height) in enumerate([(12, 60), (36, 12), (60, 1), (84, 60)], 1):
        labels[row - 2 : row + 3, 4:92] = number
        grey[labels == number] += height
    image = Image(rng.poisson(grey).astype(np.uint16), "YX")
    # the noise is 10: heights are 6, 1.2, 0.1 and 6 of it
    classes = visible_classes(image, labels, 2.0)
    assert [classes[row, 40] for row in (12, 36, 60, 84)] == [1, IGNORED, 0, 1]
    assert (classes[labels == 0] == 0).all()


def _two_photon(root: Path) -> Path:
    for name in ("images", "centrelines", "boutons"):
        (root / name).mkdir()
    Picture.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(
        root / "images" / "07.png"
    )
    (root / "centrelines" / "07.csv").write_text("kind,path,x,y\naxon,0,3,10\naxon,0,60,10\n")
    (root / "boutons" / "07.csv").write_text("x,y,w,h (1-based)\n11,21,8,6\n")
    return root


def test_folders_of_fields_have_axons_and_boutons(tmp_path: Path) -> None:
    root = _two_photon(tmp_path)
    (axons,) = load_fluorescence(root, AXON_CLASSES)
    (boutons,) = load_fluorescence(root, BOUTON_CLASSES)
    assert axons.animal == boutons.animal == "07"
    assert (axons.classes[10, 3:60] == 1).all()
    assert np.argwhere(boutons.classes != 0).min(0).tolist() == [20, 10]
    (root / "images" / "07.png").unlink()
    with pytest.raises(InputError, match="has no image"):
        load_fluorescence(root, AXON_CLASSES)


def test_labelled_slices_of_a_volume_are_images(tmp_path: Path) -> None:
    labels = np.zeros((6, 32, 32), np.uint8)
    labels[2] = 1
    labels[2, :, 4:8] = 2
    labels[2, :, 8] = 4
    labels[2, 0, 20] = 3
    volume = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape)
    tifffile.imwrite(tmp_path / "volume_a.tif", volume)
    tifffile.imwrite(tmp_path / "labels_a.tif", labels)
    (image,) = load_fluorescence(tmp_path, AXON_CLASSES)
    assert image.animal == "volume_a"
    np.testing.assert_array_equal(image.image.read(()), volume[2])
    assert image.classes[5, [0, 5, 8, 20]].tolist() == [0, 1, IGNORED, 0]
    assert image.classes[0, 20] == 0  # an artefact is no axon
    tifffile.imwrite(tmp_path / "labels_a.tif", labels[:5])
    with pytest.raises(InputError, match="does not fit its volume"):
        load_fluorescence(tmp_path, AXON_CLASSES)


def test_pairs_may_have_a_mask_of_one_class(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    Picture.fromarray(grey).save(tmp_path / "field.png")
    Picture.fromarray(np.uint8(255) * (grey > 200)).save(tmp_path / "field_seg-bouton.png")
    (image,) = load_fluorescence(tmp_path, BOUTON_CLASSES)
    np.testing.assert_array_equal(image.classes, grey > 200)
    with pytest.raises(InputError, match="mask of axons"):
        load_fluorescence(tmp_path, AXON_CLASSES)


def test_real_fields_are_read(shared_data: Path) -> None:
    root = shared_data / "two_photon_axons"
    assert len(load_fluorescence(root, BOUTON_CLASSES)) == 15
    axons = load_fluorescence(root, AXON_CLASSES)
    assert [image.animal for image in axons] == ["10", "11", "22"]
    assert all(0.01 < np.mean(image.classes == 1) < 0.04 for image in axons)
    slices = load_fluorescence(shared_data / "lightsheet_axons", AXON_CLASSES)
    assert len({image.animal for image in slices}) == 10


# ---------------------------------------------------------------- what crops are drawn from


def test_a_surrogate_of_the_pool_is_that_of_the_generator() -> None:
    pool = SurrogatePool(SurrogateData(source="surrogate", parameters=SMALL, count=5), AXON_CLASSES)
    third = make_surrogates(SMALL, 1, 0, AXON_CLASSES, first=3)[0]
    np.testing.assert_array_equal(pool[3].classes.numpy(), third.classes)
    assert pool[3] is pool[3]  # made once
    boutons = make_surrogates(SMALL, 1, 0, BOUTON_CLASSES, first=3)[0]
    assert 0 < boutons.classes.sum() < third.classes.sum()


def test_surrogates_may_be_labelled_as_paths_of_one_width() -> None:
    wide, narrow, own = (
        make_surrogates("original", 1, 0, AXON_CLASSES, width=width)[0].classes == 1
        for width in (9.0, 3.0, None)
    )
    assert wide[narrow].all()
    assert 2.4 < wide.sum() / narrow.sum() <= 3.2  # a little less than 3 where paths meet
    assert own[narrow].mean() > 0.9  # they lie on the axons


def test_a_share_says_how_many_draws_are_made() -> None:
    real = [Plane(torch.zeros(8, 8), torch.zeros(8, 8))]
    pool = SurrogatePool(SurrogateData(source="surrogate", parameters=SMALL, count=3), AXON_CLASSES)
    rng = np.random.default_rng(0)
    for share in (0.0, 0.25, 1.0):
        mixture = Mixture(real, 0, pool, share)
        drawn = np.mean([mixture.draw(rng) is not real[0] for _ in range(400)])
        assert abs(drawn - share) < 0.08
    by_votes = np.mean([Mixture(real, 0, pool).draw(rng) is real[0] for _ in range(400)])
    assert abs(by_votes - 8 / (8 + 3 * np.sqrt(96 * 64))) < 0.03


def test_what_is_ignored_has_no_loss() -> None:
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.randint(0, 2, (1, 8, 8), generator=torch.Generator().manual_seed(1))
    classes[:, :4] = IGNORED
    changed = logits.clone()
    changed[:, :, :4] += 5
    whole, other = (segmentation_loss(x, classes) for x in (logits, changed))
    assert whole == other
    known = segmentation_loss(logits[:, :, 4:], classes[:, 4:])
    torch.testing.assert_close(whole, known)
    nothing = segmentation_loss(logits, torch.full_like(classes, IGNORED))
    assert torch.isfinite(nothing)


def test_the_tile_that_is_shown_has_something_in_it() -> None:
    (image,) = make_surrogates("two-photon", 1, 0, AXON_CLASSES)
    window = fullest_window(image.classes, 96)
    assert image.classes[window].shape == (96, 96)
    assert np.mean(image.classes[window] == 1) > np.mean(image.classes == 1)
    tile = Tile(image, fullest_window(image.classes), SPARSE)
    tile.see(image.classes)
    _, truth, found = tile.pictures(AXON_CLASSES)
    np.testing.assert_array_equal(truth, found)
    assert (truth[..., 2] > truth[..., 0]).any()  # axons are blue
