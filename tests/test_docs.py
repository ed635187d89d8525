from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from napari_axongen.core.surrogate.presets import PRESETS, load_parameters


def test_the_table_of_parameters_is_up_to_date(repository: Path) -> None:
    command = [sys.executable, str(repository / "tools" / "parameters"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_presets_and_groups_are_described(repository: Path) -> None:
    page = (repository / "docs" / "surrogate.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in [*PRESETS, "width", "axons.thickness"])
    assert all(f"| B{number} |" in page for number in range(1, 16))


def test_the_parameter_file_of_the_documentation_is_one(repository: Path) -> None:
    page = (repository / "docs" / "surrogate.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    read = load_parameters(json.loads(example))
    assert read.width == 256
    assert read.acquisition.gain == 0
    assert read.boutons == load_parameters("two-photon").boutons
