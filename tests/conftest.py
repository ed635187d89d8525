"""What every test stands on: the real images where they are, and no trace left on the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# Before torch is loaded: small tensors on many threads are slower, and sums depend on the number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

if TYPE_CHECKING:
    from napari_axongen.core.networks import Denoiser

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


def _only_segmenters_of_micrographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave these of the shipped models; return the folder for others."""
    from napari_axongen.core.models import store

    folder, shipped = tmp_path / "models", tmp_path / "shipped"
    monkeypatch.setenv("AXONGEN_MODELS", str(folder))
    shipped.mkdir()
    for path in store.SHIPPED_FOLDER.glob("axon-myelin-*.safetensors"):
        shutil.copy(path, shipped)
    monkeypatch.setattr(store, "SHIPPED_FOLDER", shipped)
    return folder


@pytest.fixture
def glow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Models glow-axon and glow-bouton: what is bright is an axon, what is brightest a bouton.

    They average over 5 pixels. The thresholds of their cards are 0.5 and 0.6.
    """
    import torch

    from napari_axongen.core.models import Card, save_model
    from napari_axongen.core.networks import build

    folder = _only_segmenters_of_micrographs(tmp_path, monkeypatch)
    network = {"name": "unet", "channels": [1], "out_channels": 2}
    files = {}
    for kind, brightness, threshold in (("axon", 0.39, 0.5), ("bouton", 0.8, 0.6)):
        name = f"glow-{kind}"
        made = cast("Any", build(network)).eval()
        with torch.no_grad():
            for convolution in (made.encoder[0][0], made.encoder[0][3]):
                convolution.weight.fill_(1 / 9)
            made.head.weight[:, 0, 0, 0] = torch.tensor([0.0, 40.0])
            made.head.bias[:] = torch.tensor([0.0, -40 * brightness])
        card = Card(
            name=name,
            contrast="fluorescence",
            network=network,
            classes=["background", kind],
            threshold=threshold,
        )
        files[name] = folder / f"{name}.safetensors"
        save_model(files[name], made, card)
    return files


@pytest.fixture
def translators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two small translators with random weights, tem-to-sem and sem-to-tem, as the only ones."""
    import torch

    from napari_axongen.core.models import Card, save_model
    from napari_axongen.core.networks import build

    folder = _only_segmenters_of_micrographs(tmp_path, monkeypatch)
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


@pytest.fixture(scope="session")
def make_denoiser() -> Callable[..., Denoiser]:
    """Makes a small denoiser that is not trained, but answers to all that it is told."""
    import torch

    from napari_axongen.core.networks import build

    def make(seed: int = 7, **arguments: Any) -> Denoiser:
        torch.manual_seed(seed)
        network = build({"name": "denoiser", "channels": [8, 12], **arguments})
        for weights in network.parameters():
            if not weights.any():  # so that training begins gently
                torch.nn.init.normal_(weights, std=0.2)
        return cast("Denoiser", network.eval().requires_grad_(False))

    return make


@pytest.fixture
def denoiser(translators: dict[str, Path], make_denoiser: Callable[..., Denoiser]) -> Path:
    """Beside the two translators a small denoiser, tem-sem, which makes both contrasts."""
    from napari_axongen.core.models import Card, save_model
    from napari_axongen.core.models.card import Looks

    file = translators["tem-to-sem"].with_name("tem-sem.safetensors")
    looks = {
        "TEM": Looks(grey_range=(40, 220), quantiles=[-0.2, 0.3, 0.7, 0.9, 1.1]),
        "SEM": Looks(grey_range=(10, 200), quantiles=[-0.1, 0.1, 0.2, 0.5, 1.2]),
    }
    card = Card(
        name="tem-sem",
        task="diffusion",
        network={"name": "denoiser", "channels": [8, 12], "centre": 0.1, "spread": 0.4},
        classes=["background", "myelin", "axon"],
        axon_diameter=24,
        looks=looks,
    )
    save_model(file, make_denoiser(), card)
    return file
