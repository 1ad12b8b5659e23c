"""The engines run to failure, which are trained on and which are not, and the files that ship: numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgehybrid.errors import DataError
from samples.vibration_monitor import features
from samples.vibration_monitor.features import WINDOW, Float32Array

CAP_CYCLES = 125.0  # further from failure, nothing is to be seen yet: the customary bound of the target
VALIDATION_ENGINES = 20
CALIBRATION_WINDOWS = 200
SPLIT_SEED = 2008
COLUMNS = 26  # unit, cycle, 3 settings, 21 sensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One engine's life, or its first part: ``x`` float32 ``[cycles, 14]``, scaled; ``rul`` float32 ``[cycles]``.

    ``rul`` is the remaining useful life after each cycle, in cycles, not capped.
    """

    unit: int
    x: Float32Array
    rul: Float32Array


def read_training(folder: Path) -> list[Run]:
    """Read ``train_FD001.txt``: engines that run until they fail."""
    table = _read(folder / "train_FD001.txt", COLUMNS)
    return [_run(int(unit), table, left_cycles=0) for unit in np.unique(table[:, 0])]


def read_test(folder: Path) -> list[Run]:
    """Read ``test_FD001.txt``, engines watched for a part of their life, and ``RUL_FD001.txt``, what was left then."""
    table, left = _read(folder / "test_FD001.txt", COLUMNS), _read(folder / "RUL_FD001.txt", 1)[:, 0]
    units = np.unique(table[:, 0])
    if len(units) != len(left):
        what = f"{folder} has {len(units)} test engines but {len(left)} remaining lives."
        raise DataError(what, "Unpack FD001 of the C-MAPSS data set again.")
    return [_run(int(unit), table, left_cycles=float(cycles)) for unit, cycles in zip(units, left, strict=True)]


def split(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Return the engines to train on and 20 to validate and calibrate with; no engine is in both."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(runs))
    train, validation = np.sort(order[VALIDATION_ENGINES:]), np.sort(order[:VALIDATION_ENGINES])
    return [runs[i] for i in train], [runs[i] for i in validation]


def all_windows(runs: Sequence[Run]) -> tuple[Float32Array, Float32Array]:
    """Return every window ``[n, 30, 14]`` and the life left after each, capped at 125 cycles, ``[n]``."""
    x = np.concatenate([features.windows(run.x) for run in runs])
    return x, np.minimum(np.concatenate([run.rul[WINDOW - 1 :] for run in runs]), np.float32(CAP_CYCLES))


def last_windows(runs: Sequence[Run]) -> tuple[Float32Array, Float32Array]:
    """Return each engine's last window ``[n, 30, 14]`` and the life left after it, not capped, ``[n]``."""
    return np.stack([run.x[-WINDOW:] for run in runs]), np.array([run.rul[-1] for run in runs], dtype=np.float32)


def write_data(training: Sequence[Run], test: Sequence[Run], out: Path) -> None:
    """Write ``calibration.npz``, 200 windows of the validation engines, and ``test.npz``, the last of each test engine.

    Both hold ``x`` (the model's input) and ``labels`` (capped at 125 cycles, ``[n, 1]``); ``test.npz`` holds
    ``labels_uncapped`` as well.
    """
    x, rul = all_windows(split(training)[1])
    chosen = np.linspace(0, len(x) - 1, CALIBRATION_WINDOWS).astype(np.int64)
    np.savez_compressed(out / "calibration.npz", x=x[chosen], labels=rul[chosen, None])
    x, rul = last_windows(test)
    capped = np.minimum(rul, np.float32(CAP_CYCLES))
    np.savez_compressed(out / "test.npz", x=x, labels=capped[:, None], labels_uncapped=rul[:, None])


def _read(path: Path, columns: int) -> features.Float64Array:
    fix = "Give the folder with train_FD001.txt, test_FD001.txt and RUL_FD001.txt, as NASA publishes them."
    try:
        table = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", fix) from error
    except ValueError as error:
        raise DataError(f"{path} is no table of numbers: {error}.", fix) from error
    if table.shape[0] == 0 or table.shape[1] != columns:
        raise DataError(f"{path} holds a table {list(table.shape)}, not [n, {columns}].", fix)
    return table


def _run(unit: int, table: features.Float64Array, *, left_cycles: float) -> Run:
    rows = table[table[:, 0] == unit]
    x = features.scale(rows[:, [4 + sensor for sensor in features.SENSORS]])
    rul = left_cycles + np.arange(len(rows) - 1, -1, -1, dtype=np.float32)
    return Run(unit=unit, x=x, rul=rul.astype(np.float32))
