"""Resident memory of a variant: what a fresh process grows by when it loads and runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import npz_bytes
from edgehybrid.errors import ExportError

_CHILD = """
import os, sys
from pathlib import Path
import onnxruntime, psutil
from edgehybrid.data import read_npz
from edgehybrid.runtime.backends import LoadRequest, make_backend
models, weights, inputs, threads, keys = sys.argv[1:]
feeds, process = read_npz(Path(inputs)), psutil.Process()
keys = keys.split(",")
if any(key.startswith("tflite") for key in keys):
    import ai_edge_litert.interpreter
threads = [int(n) for n in threads.split(",")]
backends = [make_backend(key) for key in keys]
before = process.memory_info().rss
files = [Path(m) for m in models.split(os.pathsep)]
sessions = [
    b.load(LoadRequest(model_file=m, weights_dir=Path(weights), threads=n))
    for b, m, n in zip(backends, files, threads, strict=True)
]
for _ in range(3):
    values = dict(feeds)
    for session in sessions:
        values |= session.run({spec.name: values[spec.name] for spec in session.inputs})
print(max(process.memory_info().rss - before, 0))
"""  # a text, not a module: importing this package would bring half of the workstation into the process


def resident_bytes(
    model_files: Sequence[Path],
    weights_dir: Path,
    feeds: Mapping[str, NDArray[np.generic]],
    threads: Sequence[int] = (),
    backends: Sequence[str] = (),
) -> int:
    """Growth of the resident set, in bytes; the engine's own code is loaded before and does not count.

    Args:
        model_files: The stages, in the order in which they run; one for an uncut model.
        weights_dir: Where their weights lie.
        feeds: Inputs of the model.
        threads: Intra-op threads of each stage; 1 by default.
        backends: Back end of each stage; by default by the kind of its file.

    Raises:
        ExportError: If the process fails.
    """
    inputs = model_files[0].parent / "resident-inputs.npz"
    inputs.write_bytes(npz_bytes(feeds))
    keys = backends or ["tflite" if file.suffix == ".tflite" else "onnx" for file in model_files]
    models = os.pathsep.join(map(str, model_files))
    numbers = ",".join(map(str, threads or [1] * len(model_files)))
    command = [sys.executable, "-c", _CHILD, models, str(weights_dir)]
    done = subprocess.run([*command, str(inputs), numbers, ",".join(keys)], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        said = done.stderr.strip().splitlines()
        raise ExportError(
            f"Measuring the memory of {model_files[0].parent.name} failed: {said[-1] if said else done.returncode}.",
            "Is there enough free memory?",
        )
    return int(done.stdout)
