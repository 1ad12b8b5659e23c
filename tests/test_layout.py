"""The mapping of top-level folders to ``edgehybrid.*`` holds, and the base install stays small."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edgehybrid

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOPS = {"edgehybrid": "edgehybrid", "exporters": "edgehybrid.exporters"} | {
    "profiles": "edgehybrid.profiles",
    "runtime": "edgehybrid.runtime",
}


def test_every_folder_with_code_is_packaged() -> None:
    """The explicit list equals the folders that hold an ``__init__.py``."""
    found = set()
    for top, name in TOPS.items():
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / top).parts
            if not any((ROOT / top / Path(*parts[: i + 1])).is_symlink() for i in range(len(parts))):
                found.add(".".join((name, *parts)))

    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("name", ["exporters", "profiles", "runtime"])
def test_links_lead_to_their_folders(name: str) -> None:
    """The links that static tools follow resolve to the real folders."""
    assert (ROOT / name).resolve() == (ROOT / "edgehybrid" / name).resolve()


def test_version_stands_once() -> None:
    """The package says the version that the project file says."""
    assert PROJECT["project"]["version"] == edgehybrid.__version__


def test_base_install_needs_nothing_of_the_workstation() -> None:
    """Without extras: numpy, onnxruntime, psutil, click, rich, msgspec, and nothing else."""
    names = {re.match(r"[\w-]+", line)[0] for line in PROJECT["project"]["dependencies"]}  # type: ignore[index]  # matches

    assert {"numpy", "onnxruntime", "psutil", "click", "rich", "msgspec"} == names


def test_the_device_half_runs_without_the_workstation_half() -> None:
    """Opening an engine's modules imports no onnx, torch, scipy or matplotlib."""
    script = (
        "import sys\nimport edgehybrid.runtime.engine, edgehybrid.runtime.verification, edgehybrid.runtime.trial\n"
        "print(sorted({'onnx', 'onnx_ir', 'onnxscript', 'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_pictures_need_no_export_extra() -> None:
    """``run --plot`` works on a device with matplotlib alone: drawing imports no onnx and no scipy."""
    script = (
        "import sys\nimport edgehybrid.exporters.report\n"
        "print(sorted({'onnx', 'onnx_ir', 'onnxscript', 'scipy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_pins_name_no_address() -> None:
    """The constraints hold names and versions only."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines if line and not line.startswith("#"))
