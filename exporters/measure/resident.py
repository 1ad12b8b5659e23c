"""Resident memory of a variant: what a fresh process grows by when it loads and runs it.

``python -m edgehybrid.exporters.measure.resident MODEL WEIGHTS_DIR INPUTS.npz THREADS`` prints the bytes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from edgehybrid.data import npz_bytes, read_npz
from edgehybrid.errors import ExportError
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend

_RUNS = 3


def resident_bytes(model_file: Path, weights_dir: Path, feeds: Mapping[str, NDArray[np.generic]], threads: int = 1) -> int:
    """Growth of the resident set, in bytes; the engine's own code is loaded before and does not count.

    Raises:
        ExportError: If the process fails.
    """
    inputs = model_file.parent / "resident-inputs.npz"
    inputs.write_bytes(npz_bytes(feeds))
    command = [sys.executable, "-m", "edgehybrid.exporters.measure.resident", str(model_file), str(weights_dir)]
    done = subprocess.run([*command, str(inputs), str(threads)], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        said = done.stderr.strip().splitlines()
        raise ExportError(
            f"Measuring the memory of {model_file.name} failed: {said[-1] if said else done.returncode}.",
            "Is there enough free memory?",
        )
    return int(done.stdout)


def main(arguments: list[str]) -> int:
    """Load and run one variant in this process; returns the growth in bytes."""
    import onnxruntime  # noqa: F401  # its code must be resident before we start to count

    model_file, weights_dir, inputs, threads = arguments
    feeds = read_npz(Path(inputs))
    process = psutil.Process()
    before = process.memory_info().rss
    request = LoadRequest(model_file=Path(model_file), weights_dir=Path(weights_dir), threads=int(threads))
    session = OnnxBackend().load(request)
    for _ in range(_RUNS):
        session.run(feeds)
    return max(int(process.memory_info().rss) - int(before), 0)


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1:])))
