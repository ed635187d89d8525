"""What every test stands on: the real images where they are, and no trace left on the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Before torch is loaded: small tensors on many threads are slower, and sums depend on the number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images, which are no part of the repository; skips where there is none."""
    named = os.environ.get("AXONGEN_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real images are not here ({folder}); set AXONGEN_DATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Settings and models of the person who runs the tests are neither read nor changed."""
    home = tmp_path_factory.mktemp("home")
    os.environ["NAPARI_CONFIG"] = str(home / "napari" / "settings.yaml")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(home / name.lower())


@pytest.fixture
def translators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two small translators with random weights, tem-to-sem and sem-to-tem, as the only ones."""
    import torch

    from napari_axongen.core.models import Card, save_model, store
    from napari_axongen.core.networks import build

    folder = tmp_path / "models"
    monkeypatch.setenv("AXONGEN_MODELS", str(folder))
    shipped = tmp_path / "shipped"  # the shipped segmenters alone
    shipped.mkdir()
    for path in store.SHIPPED_FOLDER.glob("axon-myelin-*.safetensors"):
        shutil.copy(path, shipped)
    monkeypatch.setattr(store, "SHIPPED_FOLDER", shipped)
    network = {"name": "translator", "channels": [8, 12]}
    files = {}
    for source, target, diameter in (("TEM", "SEM", 28), ("SEM", "TEM", 40)):
        name = f"{source}-to-{target}".lower()
        torch.manual_seed(diameter)
        card = Card(
            name=name,
            task="translation",
            source=source,
            contrast=target,
            network=network,
            classes=["background", "myelin", "axon"],
            axon_diameter=diameter,
            grey_range=(10, 220),
        )
        files[name] = folder / f"{name}.safetensors"
        save_model(files[name], build(network), card)
    return files
