"""The samples' bundles for an Arm board, exported once on this machine, and their archives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from samples.common.kitting import build_wheel, pack

ROOT = Path(__file__).parents[2]
ALL_APPS = "keyword_spotter camera_classifier vibration_monitor"
APPS = tuple(os.environ.get("ARM_APPS", ALL_APPS).split())
"""The apps to try; the keyword spotter is among them."""

BOARDS = tuple(os.environ.get("ARM_BOARDS", "pi3 pi4 pi5").split())
"""The boards to try them on."""

DEVICE = "raspberry-pi-4b"
OPTIONS = {
    "keyword_spotter": ("--eval-data", "samples/keyword_spotter/evaluation.npz"),
    "camera_classifier": ("--exits", "auto", "--eval-data", "samples/camera_classifier/test.npz"),
    "vibration_monitor": (
        *("--metric", "rmse", "--eval-data", "samples/vibration_monitor/test.npz"),
        *("--formats", "onnx,tflite", "--keep", "tflite-w8a8"),
    ),
}
"""App to what its export needs beside model and calibration data."""


def bundle(name: str, place: Path) -> Path:
    """Return the bundle of a sample, exported for a Raspberry Pi 4 with the least effort unless it is there."""
    path = place / f"{name}.bundle"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        sample = f"samples/{name}"
        command = [sys.executable, "-m", "edgehybrid", "export", f"{sample}/model.onnx", "-o", str(path)]
        options = ["--data", f"{sample}/calibration.npz", "--effort", "quick", "--device", DEVICE, *OPTIONS[name]]
        subprocess.run([*command, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return path


def kits(place: Path) -> Path:
    """Return the folder that the board sees: an archive of every app from this checkout, test data, and scripts."""
    folder = place / "kits"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    wheel = build_wheel(folder)
    for name in APPS:
        pack(name, bundle(name, place / "bundles"), folder, wheel=wheel)
        shutil.copy(ROOT / "samples" / name / "test.npz", folder / f"{name}.npz")
    for script in (ROOT / "tests/arm/guest").glob("*.py"):
        shutil.copy(script, folder)
    return folder
