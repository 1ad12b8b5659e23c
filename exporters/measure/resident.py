"""Resident memory of a variant: what a fresh process grows by when it loads and runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import npz_bytes
from edgehybrid.errors import ExportError

_CHILD = """
import sys
from pathlib import Path
import onnxruntime, psutil
from edgehybrid.data import read_npz
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend
model, weights, inputs, threads = sys.argv[1:]
feeds, process = read_npz(Path(inputs)), psutil.Process()
before = process.memory_info().rss
session = OnnxBackend().load(LoadRequest(model_file=Path(model), weights_dir=Path(weights), threads=int(threads)))
for _ in range(3):
    session.run(feeds)
print(max(process.memory_info().rss - before, 0))
"""  # a text, not a module: importing this package would bring half of the workstation into the process


def resident_bytes(
    model_file: Path, weights_dir: Path, feeds: Mapping[str, NDArray[np.generic]], threads: int = 1
) -> int:
    """Growth of the resident set, in bytes; the engine's own code is loaded before and does not count.

    Raises:
        ExportError: If the process fails.
    """
    inputs = model_file.parent / "resident-inputs.npz"
    inputs.write_bytes(npz_bytes(feeds))
    command = [sys.executable, "-c", _CHILD, str(model_file), str(weights_dir)]
    done = subprocess.run([*command, str(inputs), str(threads)], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        said = done.stderr.strip().splitlines()
        raise ExportError(
            f"Measuring the memory of {model_file.name} failed: {said[-1] if said else done.returncode}.",
            "Is there enough free memory?",
        )
    return int(done.stdout)
