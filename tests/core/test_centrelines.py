from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.centrelines import Centreline, read_centrelines, write_centrelines
from napari_axongen.core.errors import InputError

LINES = [
    Centreline(np.array([[0.1234, 5], [1 / 3, 2e3]]), axon=1, image=3),
    Centreline(np.array([[7, 8], [9, 10], [11, 12.5]]), axon=1, branch=1, image=3),
    Centreline(np.array([[-1, 0], [0, 0]]), axon=1, image=4),
]


def test_written_and_read(tmp_path: Path):
    path = tmp_path / "new" / "centrelines.csv"
    write_centrelines(path, iter(LINES))
    text = path.read_text()
    assert text.startswith(
        "image,axon,branch,point,row,column\n3,1,0,0,0.123,5.000\n3,1,0,1,0.333,2000.000\n"
    )
    for before, after in zip(LINES, read_centrelines(path), strict=True):
        np.testing.assert_allclose(after.points, before.points, atol=5e-4)
        for name in ("image", "axon", "branch", "faint"):
            assert getattr(after, name) == getattr(before, name)


def test_rows_in_any_order_and_further_columns(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeffColumn, row,note,point,branch,axon,image\n"
        "2,20,x,10,0,1,0\n1,10,x,9,0,1,0\n5,50,x,0,0,2,0\n"
    )
    first, second = read_centrelines(path)
    np.testing.assert_array_equal(first.points, [[10, 1], [20, 2]])
    assert (first.axon, second.axon) == (1, 2)


def test_kinds_of_paths(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("kind,path,x,y\naxon,0,4,7\naxon,0,5,8\nfaint,0,1,2\nfaint,0,1,3\n")
    clear, faint = read_centrelines(path)
    np.testing.assert_array_equal(clear.points, [[7, 4], [8, 5]])
    assert (clear.faint, faint.faint) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"columns \(none\)"),
        ("a,b\n1,2\n", "columns a, b; centrelines have image, axon"),
        ("kind,path,x,y\naxon,0,4,seven\n", "line 2: y is 'seven'"),
        ("kind,path,x,y\naxon,0,4\n", "line 2: y is ''"),
        ("kind,path,x,y\naxon,0,4,nan\n", "line 2: y is 'nan'"),
        ("kind,path,x,y\naxon,0,4,5\nvein,0,4,5\n", "line 3: the kind is 'vein'"),
        ("image,axon,branch,point,row,column\n0,1.5,0,0,1,1\n", "axon is 1.5, where a whole"),
        ("image,axon,branch,point,row,column\n" + "0,1,0,0,1,1\n" * 2, "line 3: point 0 of"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_centrelines(path)


def test_no_such_file_and_no_text(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        read_centrelines(tmp_path / "b.csv")
    with pytest.raises(InputError, match="cannot be read as a CSV file"):
        read_centrelines(tmp_path)
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="cannot be read as a CSV file"):
        read_centrelines(tmp_path / "c.csv")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.csv"
    write_centrelines(path, LINES)
    before = path.read_bytes()

    def broken():
        yield LINES[0]
        raise RuntimeError("out of axons")

    with pytest.raises(RuntimeError, match="out of axons"):
        write_centrelines(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
