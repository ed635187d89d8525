"""What is looked at comes first, and is what the whole would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_axongen.core import translation
from napari_axongen.core.device import choose_device
from napari_axongen.core.events import Progress, run
from napari_axongen.core.image import Image
from napari_axongen.core.networks import build
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.rendering import Source, render_plane, rendered_from
from napari_axongen.core.surrogate.em_fields import em_field
from napari_axongen.core.tiling import predict

PART = slice(70, 131), slice(40, 203)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(3)
    return build({"name": "translator", "channels": [8, 12]}).eval().requires_grad_(False)


@pytest.mark.parametrize("scale", [1.0, 0.37, 1.6])
@pytest.mark.parametrize("tile", [29, 500])
def test_a_part_is_that_of_the_whole(scale: float, tile: int) -> None:
    torch.manual_seed(1)
    unet = build({"name": "unet", "channels": [4, 8]}).eval().requires_grad_(False)
    image = np.random.default_rng(0).random((180, 240), dtype=np.float32)
    found = []
    for part in (None, PART):
        out = np.full((3, *image.shape), np.nan, np.float32)
        found.append(out)

        def write(rows: slice, columns: slice, values: np.ndarray, out: np.ndarray = out) -> None:
            out[:, rows, columns] = values

        steps = predict(
            unet, lambda r, c: image[r, c], write, image.shape, scale=scale, tile=tile, part=part,
            device=choose_device("cpu"),
        )  # fmt: skip
        run(steps)
    inside = np.zeros(image.shape, bool)
    inside[PART] = True
    whole, part_of_it = found
    np.testing.assert_allclose(part_of_it[:, inside], whole[:, inside], atol=1e-4)
    assert np.isnan(part_of_it[:, ~inside]).all()


@pytest.mark.parametrize("condition", ["mask", "mask and structure"])
@pytest.mark.parametrize("scale", [1.0, 0.4, 1.6])
def test_no_more_is_read_than_is_said(
    network: torch.nn.Module, scale: float, condition: str
) -> None:
    shape, seen = (400, 420), []

    def classes(rows: slice, columns: slice) -> np.ndarray:
        seen.append((rows, columns))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    def grey(rows: slice, columns: slice) -> np.ndarray:
        return np.random.default_rng(0).random(
            (rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32
        )

    source = Source(shape, classes, grey if "structure" in condition else None)
    device = choose_device("cpu")
    run(
        render_plane(
            network, source, lambda *_: None, scale=scale, seed=0, part=PART, tile=40, device=device
        )
    )
    said = rendered_from(network, shape, scale, PART)
    for axis in (0, 1):
        assert min(window[axis].start for window in seen) >= said[axis].start
        assert max(window[axis].stop for window in seen) <= said[axis].stop


@pytest.mark.usefixtures("translators")
def test_of_a_large_plane_it_is_made_before_the_whole_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "_LARGE", 256 * 256)
    monkeypatch.setattr(translation, "_GLANCE", 64)
    field = em_field((320, 300), "sem", seed=1)
    image = Image(field.image, "YX", field.pixel_size)
    parameters = TranslateParameters(model="sem-to-tem", device="cpu", memory=64)
    plain = run(translation.translate_steps(image, parameters))

    out = np.zeros(field.image.shape, np.uint8)
    steps = translation.translate_steps(image, parameters, out=out, first=(300, 20))
    messages, seen = [], None
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result = end.value
            break
        if isinstance(event, Progress):
            messages.append(event.message)
            if event.message == translation.TRANSLATING and seen is None:
                seen = out.copy()
    rows, columns = slice(256, 320), slice(0, 64)  # 64 x 64 around the pixel, inside the plane
    assert seen is not None
    assert seen[rows, columns].any()
    np.testing.assert_allclose(
        seen[rows, columns].astype(int), plain.image[rows, columns].astype(int), atol=1
    )
    seen[rows, columns] = 0
    assert not seen.any()
    finding, translating = translation.FINDING, translation.TRANSLATING
    looked_at = messages.index(translating)
    assert finding in messages[:looked_at]
    assert finding in messages[looked_at:]
    np.testing.assert_allclose(result.image.astype(int), plain.image.astype(int), atol=1)
    np.testing.assert_array_equal(result.mask, plain.mask)


@pytest.mark.usefixtures("translators")
def test_of_a_small_plane_nothing_is_made_twice() -> None:
    field = em_field((200, 180), "sem", seed=1)
    image = Image(field.image, "YX", field.pixel_size)
    parameters = TranslateParameters(model="sem-to-tem", device="cpu")
    counts = []
    for first in (None, (100, 20)):
        events = []
        run(translation.translate_steps(image, parameters, first=first), events.append)
        counts.append(sum(isinstance(event, Progress) for event in events))
    assert counts[0] == counts[1]
