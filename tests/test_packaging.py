"""An editable install and a wheel both bring the plugin with all its files, and nothing heavy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from napari_axongen.core.parameters import DEFAULT_MEMORY

DISCOVER = """
import pathlib, sys
from npe2 import PluginManifest
found = [r for r in PluginManifest.discover() if r.manifest and r.manifest.name == "napari-axongen"]
print(found[0].manifest.display_name)
print(found[0].distribution.locate_file(""))
import napari_axongen
print(pathlib.Path(napari_axongen.__file__).parent)
print("torch" in sys.modules)
"""


def call(*command: str, **env: str) -> str:
    """What a program prints, started where no source tree is in its path."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **env},
        cwd=sys.prefix,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def manifest(repository: Path) -> dict[str, Any]:
    text = (repository / "src/napari_axongen/napari.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the sdist of this tree."""
    out = tmp_path_factory.mktemp("dist")
    call(
        "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", str(out), str(repository)
    )
    return out


@pytest.fixture(scope="module")
def packaged(repository: Path) -> set[str]:
    """Every file that a person must get, from the package's folder on."""
    source = repository / "src"
    return {
        str(path.relative_to(source).as_posix())
        for path in (source / "napari_axongen").rglob("*")
        if path.is_file() and path.suffix in {".py", ".yaml", ".json", ".safetensors", ".typed"}
    }


def test_editable_install_registers_the_plugin(repository: Path) -> None:
    name, _, folder, torch_loaded = call("-c", DISCOVER).splitlines()
    assert name == "AxonGen"
    assert Path(folder) == repository / "src" / "napari_axongen"
    assert torch_loaded == "False"


def test_wheel_registers_the_plugin(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel))
    lines = call("-c", DISCOVER, PYTHONPATH=str(tmp_path)).splitlines()
    name, registered_by, folder, torch_loaded = lines
    assert name == "AxonGen"
    assert Path(registered_by) == tmp_path
    assert Path(folder) == tmp_path / "napari_axongen"
    assert (tmp_path / "napari_axongen" / "napari.yaml").is_file()
    assert torch_loaded == "False"


def test_wheel_has_every_file_of_the_package(built: Path, packaged: set[str]) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "napari_axongen/napari.yaml" in names
    assert packaged <= names
    extra = {name for name in names if not name.startswith(("napari_axongen/", "napari_axongen-"))}
    assert not extra


def test_sdist_has_every_file_of_the_package_and_no_image_of_others(
    built: Path, packaged: set[str]
) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in packaged} <= names
    assert "LICENSE" in names
    assert not [name for name in names if "shared" in name or name.startswith(".venv")]
    assert not [name for name in names if name.endswith((".tif", ".tiff", ".nii", ".zarr"))]


def test_root_manifest_is_a_link_to_the_packaged_one(repository: Path) -> None:
    link = repository / "napari.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("src/napari_axongen/napari.yaml")
    assert link.is_file()


def test_every_entry_of_the_manifest_leads_somewhere() -> None:
    # In a fresh interpreter: the imports that this makes must not reach the other tests.
    code = """
from npe2 import PluginManifest
manifest = PluginManifest.from_distribution("napari-axongen")
manifest.validate_imports()
import sys
print("torch" in sys.modules)
"""
    assert call("-c", code).split()[-1] == "False"


def test_contributions_refer_to_commands_that_exist(manifest: dict[str, Any]) -> None:
    contributions = manifest["contributions"]
    commands = {command["id"] for command in contributions["commands"]}
    used = [item["command"] for item in contributions["widgets"] + contributions["sample_data"]]
    used += [item["command"] for menu in contributions["menus"].values() for item in menu]
    assert set(used) == commands


def test_menus_are_ones_that_a_plugin_may_fill(manifest: dict[str, Any]) -> None:
    # napari drops the others in silence.
    from napari._app_model.constants._menus import is_menu_contributable

    menus = manifest["contributions"]["menus"]
    assert menus
    assert all(is_menu_contributable(menu) for menu in menus)


def test_preferences_can_be_read() -> None:
    code = """
from napari.settings import get_plugin_settings
settings = get_plugin_settings("napari-axongen")
print(settings.computing.device, settings.computing.memory, settings.segment.instances)
"""
    assert call("-c", code).splitlines()[-1] == f"auto {DEFAULT_MEMORY} True"


def test_base_dependencies_name_no_qt_binding(pyproject: dict[str, Any]) -> None:
    names = {re.split(r"[\[<>=;! ]", line)[0] for line in pyproject["project"]["dependencies"]}
    assert not {name.lower() for name in names} & {"pyqt5", "pyqt6", "pyside2", "pyside6"}
    assert not [line for line in pyproject["project"]["dependencies"] if "[" in line]


def test_constraints_name_one_version_of_every_dependency(
    repository: Path, pyproject: dict[str, Any]
) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    pinned = [pin.partition("==")[0] for pin in pins]
    assert all("==" in pin and "+" not in pin for pin in pins)
    assert len(pinned) == len(set(pinned))
    project = pyproject["project"]
    asked = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        asked += extra
    names = {re.split(r"[\[<>=;! ]", line)[0].lower() for line in asked} - {"napari-axongen"}
    assert names <= set(pinned)
