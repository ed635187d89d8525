"""Data sets on disk: what is read back is what was made, whatever happened in between."""

from __future__ import annotations

import csv
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.io.matlab import matfile_version

from napari_axongen.core.centrelines import read_centrelines
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, run
from napari_axongen.core.files import read_image
from napari_axongen.core.surrogate.export import export_steps
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SeriesParameters, SurrogateParameters
from napari_axongen.core.surrogate.truth import BOUTON, TRACK, Surrogates
from napari_axongen.core.surrogate.writers import Layout

FORMATS = ("tiff", "mat", "zarr")
ARRAYS = (
    "images",
    "clean_images",
    "axon_masks",
    "bouton_masks",
    "axon_labels",
    "branch_labels",
)
COUNT, SEED = 203, 5  # beyond a step, and beyond a MATLAB file
PARAMETERS = SurrogateParameters(
    width=24, height=20, pixel_size=0.25, series=SeriesParameters(frames=3)
)


def export(
    out: Path,
    format: str = "tiff",
    count: int = COUNT,
    on_event: Callable[[Event], None] | None = None,
    parameters: SurrogateParameters = PARAMETERS,
    **options: Any,
) -> Path:
    steps = export_steps(parameters, count, options.pop("seed", SEED), out, format, **options)
    return run(steps, on_event)


@functools.cache
def made(count: int = COUNT, series: bool = False) -> Surrogates:
    return run(generate_steps(PARAMETERS, count=count, seed=SEED, series=series))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of an export in a format that was not interrupted."""
    return functools.cache(lambda format: export(tmp_path_factory.mktemp("whole") / "set", format))


def read(folder: Path, format: str, name: str, series: bool) -> NDArray[Any]:
    """An array of an export, (N, H, W) or (N, T, H, W)."""
    if format == "tiff":
        return tifffile.imread(folder / f"{name}.tif")
    if format == "mat":
        import h5py

        parts = []
        for path in sorted(folder.glob("surrogates_*.mat")):
            with h5py.File(path) as file:
                parts.append(file[name][:].swapaxes(-1, -2))
        return np.concatenate(parts)
    import zarr

    array = zarr.open_array(folder / f"{name}.zarr" / "0", mode="r")[:]
    return array.swapaxes(0, 1) if series else array


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def finished_names(folder: Path) -> list[str]:
    """What a reader would take for data."""
    return [p.name for p in folder.iterdir() if p.suffix in (".tif", ".mat", ".zarr", ".csv")]


# ---------------------------------------------------------------- what is in the files


@pytest.mark.parametrize("series", [False, True], ids=["images", "series"])
@pytest.mark.parametrize("format", FORMATS)
def test_arrays_read_back_are_those_made(
    tmp_path: Path, whole: Callable[[str], Path], format: str, series: bool
) -> None:
    out = export(tmp_path / "set", format, series=True) if series else whole(format)
    truth = made(series=series)
    for name in ARRAYS:
        expected = getattr(truth, name)
        array = read(out, format, name, series)
        assert array.shape == (COUNT, *((3,) if series else ()), 20, 24)
        np.testing.assert_array_equal(array, expected, err_msg=name)
        if name.endswith("labels"):
            assert array.dtype == np.uint16
        elif format == "mat":
            assert array.dtype == np.float64
        else:
            assert array.dtype == np.uint8
    assert truth.axon_masks.max() == 255
    assert truth.axon_labels.max() > 1
    assert not (out / "unfinished.json").exists()


def test_deep_images_are_16_bit(tmp_path: Path) -> None:
    deep = PARAMETERS.model_copy(update={"max_intensity": 4000})
    for format in ("tiff", "zarr"):
        out = export(tmp_path / format, format, 3, parameters=deep)
        images = read(out, format, "images", False)
        assert images.dtype == np.uint16
        assert images.max() > 255
        assert read(out, format, "axon_masks", False).dtype == np.uint8


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("series", [False, True], ids=["images", "series"])
def test_tiff_says_its_axes_and_pixel_size(tmp_path: Path, count: int, series: bool) -> None:
    path = export(tmp_path / "set", count=count, series=series) / "images.tif"
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].axes == ("ITYX" if series else "IYX")
        assert len(tif.pages) == count * (3 if series else 1)
    assert tifffile.memmap(path, mode="r").shape == (count, *((3,) if series else ()), 20, 24)
    assert read_image(path).pixel_size == pytest.approx(0.25)


def test_beyond_4_gb_the_tiff_is_a_bigtiff(tmp_path: Path) -> None:
    """None of its pixels are written: the file is a hole."""
    from napari_axongen.core.surrogate.writers.tiff import TiffWriter

    dtypes = {"images": np.dtype(np.uint8)}
    TiffWriter(Layout(tmp_path, 5, (1 << 15, 1 << 15), dtypes, None)).create()
    with tifffile.TiffFile(tmp_path / "images.tif.partial") as tif:
        assert tif.is_bigtiff
        assert tif.series[0].shape == (5, 1 << 15, 1 << 15)


def test_mat_files_are_matlabs_7_3(tmp_path: Path) -> None:
    import h5py

    out = export(tmp_path / "set", "mat", series=True)
    paths = sorted(out.glob("*.mat"))
    assert [path.name for path in paths] == ["surrogates_1.mat", "surrogates_2.mat"]
    for path, count in zip(paths, (200, 3), strict=True):
        with path.open("rb") as file:
            assert file.read(19) == b"MATLAB 7.3 MAT-file"
            assert matfile_version(file) == (2, 0)
        with h5py.File(path) as file:
            assert file.userblock_size == 512
            assert sorted(file) == sorted(ARRAYS)
            for name, variable in file.items():
                assert variable.shape == (count, 3, 24, 20)  # in MATLAB H x W x T x N
                kind = b"uint16" if name.endswith("labels") else b"double"
                assert variable.attrs["MATLAB_class"] == kind
                assert variable.compression == "gzip"


@pytest.mark.parametrize("series", [False, True], ids=["images", "series"])
def test_zarr_is_ome_zarr(tmp_path: Path, series: bool) -> None:
    import zarr

    out = export(tmp_path / "set", "zarr", 3, series=series)
    for name in ARRAYS:
        group = zarr.open_group(out / f"{name}.zarr", mode="r")
        assert group.metadata.zarr_format == 2
        (image,) = group.attrs["multiscales"]
        assert image["version"] == "0.4"
        axes = [(axis["name"], axis.get("type"), axis.get("unit")) for axis in image["axes"]]
        space = [("n", None, None), *((axis, "space", "micrometer") for axis in "yx")]
        assert axes == ([("t", "time", None), *space] if series else space)
        (level,) = image["datasets"]
        (scale,) = level["coordinateTransformations"]
        assert scale == {"type": "scale", "scale": [1.0] * (len(axes) - 2) + [0.25, 0.25]}
        assert group[level["path"]].ndim == len(axes)


@pytest.mark.parametrize("format", FORMATS)
def test_tables_hold_the_truth(tmp_path: Path, format: str) -> None:
    out = export(tmp_path / "set", format, series=True, count=70)
    truth = made(70, series=True)
    assert truth.transforms is not None
    for name, records in (("boutons", truth.boutons), ("tracks", truth.tracks)):
        with (out / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert tuple(header) == (BOUTON if name == "boutons" else TRACK).names
        expected = [[float(cell) for cell in record.item()] for record in records]
        assert len(rows) > 7
        np.testing.assert_allclose(np.array(rows, dtype=float), expected, rtol=1e-6)
    lines = read_centrelines(out / "centrelines.csv")
    assert len(lines) == len(truth.centrelines) > 70
    for line, true in zip(lines, truth.centrelines, strict=True):
        assert (line.image, line.axon, line.branch) == (true.image, true.axon, true.branch)
        np.testing.assert_allclose(line.points, true.points, atol=6e-4)
    table = np.loadtxt(out / "transforms.csv", delimiter=",", skiprows=1)
    assert table[:, :2].tolist() == [[image, t] for image in range(70) for t in range(3)]
    np.testing.assert_array_equal(table[:, 2:].reshape(70, 3, 2, 3), truth.transforms[:, :, :2])


def test_single_images_have_no_tracks(tmp_path: Path) -> None:
    out = export(tmp_path / "set", count=2)
    assert sorted(path.name for path in out.glob("*.csv")) == ["boutons.csv", "centrelines.csv"]


def test_recipe_says_what_was_made(tmp_path: Path) -> None:
    out = export(tmp_path / "set", count=3, series=True)
    recipe = json.loads((out / "parameters.json").read_text())
    assert recipe == made(3, series=True).recipe() | {"format": "tiff"}
    assert SurrogateParameters.model_validate(recipe["parameters"]) == PARAMETERS


def test_events_count_all_images_and_repeat_no_notice(tmp_path: Path) -> None:
    events: list[Event] = []
    export(tmp_path / "set", on_event=events.append)
    done = [event.done for event in events if isinstance(event, Progress)]
    assert {event.total for event in events if isinstance(event, Progress)} == {COUNT}
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, COUNT)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == len(set(notices))


# ---------------------------------------------------------------- stopped and resumed

KILLED = """
import json, os, signal, sys
from pathlib import Path
from napari_axongen.core.events import run
from napari_axongen.core.surrogate import generator  # loads torch, once for all children
from napari_axongen.core.surrogate.export import export_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters

out, format, parameters, count, seed, *moments = sys.argv[1:]
parameters = SurrogateParameters.model_validate_json(parameters)
left = 0

def kill(event, arguments):  # before the chosen one of all openings and renamings in the folder
    global left
    if event in ("open", "os.rename") and out in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

for moment in map(int, moments):
    child = os.fork()
    if child == 0:
        left = moment
        sys.addaudithook(kill)
        run(export_steps(parameters, int(count), int(seed), Path(out), format, resume=True))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    state = Path(out, "unfinished.json")
    done = json.loads(state.read_text())["done"] if state.exists() else None
    print(json.dumps([os.WTERMSIG(status), sorted(os.listdir(out)), done]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no SIGKILL")
@pytest.mark.parametrize(
    ("format", "moments", "done"),
    [
        ("tiff", (2, 6, 36, 25), [None, 0, 64, 128]),
        ("mat", (2, 10, 20), [None, 0, 200]),
        ("zarr", (2, 100, 200, 90), [None, 0, 64, 128]),
    ],
)
def test_killed_and_resumed_ends_with_the_same_files(
    tmp_path: Path,
    whole: Callable[[str], Path],
    format: str,
    moments: tuple[int, ...],
    done: list[int | None],
) -> None:
    out = tmp_path / "killed"
    arguments = [str(out), format, PARAMETERS.model_dump_json(), str(COUNT), str(SEED)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments, *map(str, moments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == 0, killed.stderr
    seen = [json.loads(line) for line in killed.stdout.splitlines()]
    assert [number for number, _, _ in seen] == [signal.SIGKILL] * len(moments)
    for _, names, _ in seen:
        assert not [n for n in names if not n.endswith(".partial") and n != "unfinished.json"]
    assert [number for _, _, number in seen] == done
    export(out, format, resume=True)
    assert contents(out) == contents(whole(format))


@pytest.mark.parametrize("format", FORMATS)
def test_stopped_while_files_get_their_names(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = export(tmp_path / "whole", format, 3), tmp_path / "stopped"
    rename, left = os.replace, [0]

    def replace(old: Path, new: Path) -> None:
        if old.parent == out and old.suffix == ".partial" and not old.name.startswith("."):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    for named in range(len(list(whole.iterdir()))):
        left[0] = min(named, 1)
        with pytest.raises(KeyboardInterrupt):
            export(out, format, 3, resume=True)
        assert len(finished_names(out)) == named
        assert not (out / "parameters.json").exists()
    left[0] = 1
    export(out, format, 3, resume=True)
    assert contents(out) == contents(whole)


def test_cancelled_goes_on(tmp_path: Path, whole: Callable[[str], Path]) -> None:
    out = tmp_path / "stopped"
    steps = export_steps(PARAMETERS, COUNT, SEED, out)
    for event in steps:
        if isinstance(event, Progress) and event.done > 100:
            break
    steps.close()
    assert not finished_names(out)
    first: list[Event] = []
    export(out, resume=True, on_event=first.append)
    assert first[0] == Progress(64, COUNT)
    assert contents(out) == contents(whole("tiff"))


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_one_sentence_and_resumable(
    tmp_path: Path, whole: Callable[[str], Path], format: str
) -> None:
    out = tmp_path / "full"
    largest = max(len(content) for content in contents(whole(format)).values())
    with files_up_to(largest // 2), pytest.raises(InputError, match=r"cannot be written.*--resume"):
        export(out, format)
    assert not finished_names(out)
    export(out, format, resume=True)
    assert contents(out) == contents(whole(format))


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse larger files."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_finished_is_left_alone(tmp_path: Path) -> None:
    out = export(tmp_path / "set", count=3)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    events: list[Event] = []
    assert export(out, count=3, resume=True, on_event=events.append) == out
    assert [event for event in events if isinstance(event, Notice)] == events
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


# ---------------------------------------------------------------- refusals


def stop_early(out: Path) -> None:
    steps = export_steps(PARAMETERS, COUNT, SEED, out)
    next(event for event in steps if isinstance(event, Progress) and event.done > 64)
    steps.close()


def test_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        export(tmp_path, resume=True)
    with pytest.raises(InputError, match="is a file"):
        export(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_older_export_is_refused(tmp_path: Path) -> None:
    out = export(tmp_path / "set", count=2)
    with pytest.raises(InputError, match="already holds a data set"):
        export(out, count=2)
    stop_early(tmp_path / "stopped")
    with pytest.raises(InputError, match=r"unfinished export \(64 of 203 images\).*--resume"):
        export(tmp_path / "stopped")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 6}, r"other seed \(5, not 6\)"),
        ({"count": 204}, r"other count \(203, not 204\)"),
        ({"series": True}, r"other verb \(generate, not generate_series\)"),
        ({"format": "zarr"}, r"other format \(tiff, not zarr\)"),
        ({"parameters": PARAMETERS.model_copy(update={"width": 32})}, "other parameters;"),
    ],
)
def test_resuming_something_else_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    stop_early(tmp_path / "set")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        export(tmp_path / "set", resume=True, **change)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("loss", ["images.tif", "boutons.csv"])
def test_a_lost_file_is_noticed(tmp_path: Path, loss: str) -> None:
    stop_early(tmp_path)
    (tmp_path / f"{loss}.partial").unlink()
    with pytest.raises(InputError, match=rf"{loss}.partial is missing.*start anew"):
        export(tmp_path, resume=True)


def test_a_table_cut_short_is_noticed(tmp_path: Path) -> None:
    stop_early(tmp_path)
    (tmp_path / "centrelines.csv.partial").write_text("image")
    with pytest.raises(InputError, match="lost its end"):
        export(tmp_path, resume=True)


@pytest.mark.parametrize(("format", "package"), [("mat", "h5py"), ("zarr", "zarr")])
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str
) -> None:
    for module in ("mat", "ome_zarr"):
        monkeypatch.delitem(
            sys.modules, f"napari_axongen.core.surrogate.writers.{module}", raising=False
        )
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"needs the package {package}.*pip install 'napari-axongen\[export\]'"
    with pytest.raises(InputError, match=message):
        export(tmp_path / "set", format)
    assert not (tmp_path / "set").exists()


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 images"):
        export(tmp_path / "set", count=0)
    with pytest.raises(InputError, match="no format 'png'"):
        export(tmp_path / "set", "png")


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_number(tmp_path: Path, format: str) -> None:
    """Of Python and NumPy; resident memory is for the benchmarks."""
    export(tmp_path / "first", format, 2)  # imports
    peaks = []
    # with much alive from other tests, Python would let garbage lie for longer
    gc.collect()
    gc.freeze()
    try:
        for count in (300, 600):  # a MATLAB file holds 200
            tracemalloc.start()
            export(tmp_path / str(count), format, count)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    finally:
        gc.unfreeze()
    assert peaks[1] < 1.2 * peaks[0]


def test_steps_are_bounded_by_memory() -> None:
    def step(side: int, frames: int = 0) -> int:
        shape = ((frames,) if frames else ()) + (side, side)
        return Layout(Path(), 10_000, shape, {}, None).step

    assert step(16) == step(256) == 64
    assert step(1024) == 4
    assert step(8192) == 1
    assert step(256, frames=6) == 8
