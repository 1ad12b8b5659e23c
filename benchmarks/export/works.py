"""The models to export, with their data."""

from __future__ import annotations

import os
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).parents[2]
SAMPLES = ("keyword_spotter", "camera_classifier", "vibration_monitor")
DATA_VARIABLE = "EDGEHYBRID_DATA"
_CHUNK, _CONTEXT, _RATE = 512, 64, 16000


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A model, what it is calibrated with and what it is judged on; ``metric`` ``None`` lets the data decide."""

    name: str
    model: Path
    calibration: Path
    evaluation: Path
    metric: str | None = None
    shape: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)


def find_works(folder: Path) -> tuple[dict[str, Work], dict[str, str]]:
    """Find every work model; what has to be made (data of foreign models) is written into ``folder``.

    Returns:
        The works by name; and the names of those that are not there, with the reason.
    """
    works: dict[str, Work] = {}
    absent: dict[str, str] = {}
    for name in SAMPLES:
        home = ROOT / "samples" / name
        judged = "evaluation.npz" if (home / "evaluation.npz").exists() else "test.npz"
        files = [home / file for file in ("model.onnx", "calibration.npz", judged)]
        missing = [file.name for file in files if not file.exists()]
        if missing:
            absent[name] = f"not there yet: {', '.join(missing)}"
        else:
            works[name] = Work(name=name, model=files[0], calibration=files[1], evaluation=files[2])
    data = Path(os.environ.get(DATA_VARIABLE, ROOT.parent / "shared" / "data"))
    recipes = {"onnx-magika": _magika, "onnx-silero-vad": _silero}
    found = sorted(path.name for path in data.glob("onnx-*")) if data.is_dir() else []
    for name in dict.fromkeys((*recipes, *found)):
        if name not in found:
            absent[name] = f"no such folder in the data ({DATA_VARIABLE})"
        elif name not in recipes:
            absent[name] = "nobody has said how its data is read"
        else:
            works[name] = recipes[name](data / name, folder)
    return works, absent


def _halves(name: str, folder: Path, arrays: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write every other row for calibration, the rest for evaluation."""
    paths = (folder / f"{name}-calibration.npz", folder / f"{name}-evaluation.npz")
    for i, path in enumerate(paths):
        with path.open("wb") as stream:
            np.savez(stream, **{key: array[i::2] for key, array in arrays.items()})
    return paths


def _magika(home: Path, folder: Path) -> Work:
    """File types of 76 files."""
    data = np.load(home / "magika_basic.npz")
    calibration, evaluation = _halves("magika", folder, {"bytes": data["bytes_i32"], "labels": data["label"]})
    (model,) = home.glob("*.onnx")
    return Work(name=home.name, model=model, calibration=calibration, evaluation=evaluation, metric="accuracy")


def _silero(home: Path, folder: Path) -> Work:
    """Speech or not, for 32 ms at a time, each from the state that the float model was in; against that model."""
    (model,) = home.glob("*.onnx")
    with wave.open(str(home / "test_16k.wav")) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(_CONTEXT, np.float32)
    inputs, states = [], []
    for start in range(0, len(audio) - _CHUNK, _CHUNK):
        inputs.append(np.concatenate([context, audio[start : start + _CHUNK]]))
        states.append(state)
        feeds = {"input": inputs[-1][None], "state": state, "sr": np.array(_RATE, np.int64)}
        state = np.asarray(session.run(["stateN"], feeds)[0])
        context = inputs[-1][-_CONTEXT:]
    arrays = {"input": np.array(inputs), "state": np.array(states), "sr": np.full(len(inputs), _RATE, np.int64)}
    few = {key: array[::2] for key, array in arrays.items()}
    calibration, evaluation = _halves("silero", folder, few)
    shape = {"input": (1, _CHUNK + _CONTEXT), "state": (2, 1, 128)}
    return Work(
        name=home.name,
        model=model,
        calibration=calibration,
        evaluation=evaluation,
        metric="agreement@0.5",
        shape=shape,
    )
