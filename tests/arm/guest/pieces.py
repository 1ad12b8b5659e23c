"""On the board, and on a workstation to compare: what the pieces of graphs in a folder give for their inputs.

python pieces.py FOLDER OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort


def main() -> None:
    """Run ``0.onnx`` with ``0.npz``, ``1.onnx`` with ``1.npz`` and so on, as the engine does: optimized, one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    folder, found = Path(sys.argv[1]), {}
    for model in folder.glob("*.onnx"):
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        with np.load(model.with_suffix(".npz")) as feeds:
            found[model.stem] = session.run(None, dict(feeds))[0]
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
