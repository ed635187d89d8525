"""Fluorescence images are told from electron micrographs, on all that there are."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from napari_axongen.core.events import run
from napari_axongen.core.files import read_image
from napari_axongen.core.image import Image
from napari_axongen.core.modality import bright_part, modality
from napari_axongen.core.surrogate.em_fields import em_field
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.presets import load_parameters


@pytest.mark.parametrize("contrast", ["tem", "sem"])
def test_drawn_micrographs_upright_and_inverted(contrast: str) -> None:
    grey = em_field((400, 300), contrast, seed=4).image
    assert bright_part(Image.from_array(grey)) > 0.35
    assert bright_part(Image.from_array(255 - grey)) > 0.3


@pytest.mark.parametrize("preset", ["original", "two-photon"])
def test_surrogates(preset: str) -> None:
    images = run(generate_steps(load_parameters(preset), count=6, seed=8)).images
    parts = [bright_part(Image.from_array(image)) for image in images]
    assert max(parts) < 0.07


def test_what_does_not_change_it() -> None:
    """Unit and type of the grey values, missing pixels, a black margin, a lazy array."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 40, (300, 200)).astype(np.uint8)
    grey[100:105] = 200
    part = bright_part(Image.from_array(grey))
    assert part == pytest.approx(5 / 300, abs=0.01)
    wide = grey.astype(np.uint16) * 100 + 700
    assert bright_part(Image.from_array(wide)) == pytest.approx(part, abs=1e-4)
    holed = grey.astype(np.float32)
    holed[::50, ::50] = np.nan
    assert bright_part(Image.from_array(holed)) == pytest.approx(part, abs=0.01)
    lazy = da.from_array(grey, chunks=64)
    assert bright_part(Image.from_array(lazy)) == part
    tissue = em_field((300, 200), "tem", seed=1).image
    margin = np.zeros((600, 300), np.uint8)
    margin[:300, :200] = tissue
    assert modality(Image.from_array(margin)) == "electron"


def test_a_large_image_is_read_in_windows(recording: type) -> None:
    array = recording(np.random.default_rng(1).integers(0, 255, (1, 3000, 2000), np.uint8))
    assert modality(Image.from_array(array)) == "electron"
    assert array.largest <= 256 * 256


def test_there_is_nothing_to_see() -> None:
    for value in (7.0, np.nan):
        assert modality(Image.from_array(np.full((40, 40), value))) == "electron"


ELECTRON = (
    "data_axondeepseg_sem/sub-*/micr/*.png",
    "data_axondeepseg_srf_testing/sub-*/micr/*.png",
    "tem_peripheral_nerve/image_*3.png",  # those with the least bright pixels are among them
)
FLUORESCENCE = ("two_photon_axons/images/*.jpg", "two_photon_axons/*.tif", "lightsheet_axons/vol*")


def test_real_images_and_by_how_much(shared_data: Path) -> None:
    """What docs/fluorescence.md says: a factor of 6 lies between the two kinds."""
    parts = [
        [bright_part(read_image(path)) for pattern in kind for path in shared_data.glob(pattern)]
        for kind in (ELECTRON, FLUORESCENCE)
    ]
    assert [len(found) for found in parts] == [7 + 15 + 9, 15 + 3 + 10]
    assert min(parts[0]) > 0.23
    assert max(parts[1]) < 0.04
