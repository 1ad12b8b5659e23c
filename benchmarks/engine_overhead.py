"""``engine.run`` beside a hand-written ``InferenceSession.run``: ``python -m benchmarks.engine_overhead [MODEL.onnx]``.

Both run the same file on one thread, interleaved.

Target: ratio of medians at most 1.02 on the sample model, at most 1.0 on a model of one node.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.machine import interleave, median_with_interval, pin_to_one_core, ratio_of_medians, write_result
from benchmarks.small_bundles import SAMPLE, one_node, two_points
from edgehybrid import Engine

ROUNDS = 60
ROUND_S = 0.01


def measure(model: bytes) -> dict[str, object]:
    """Compare the engine with the session that a user would write by hand."""
    with tempfile.TemporaryDirectory() as folder:
        bundle, feeds = two_points(Path(folder), model, model)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        with Engine(bundle) as engine:
            probe = interleave({"hand": lambda: session.run(None, feeds)}, rounds=3, runs=100)
            runs = max(int(ROUND_S / float(np.median(probe["hand"]))), 10)
            times = interleave(
                {"engine": lambda: engine.run(feeds), "hand": lambda: session.run(None, feeds)},
                rounds=ROUNDS,
                runs=runs,
            )
    return {
        **ratio_of_medians(times["engine"], times["hand"]),
        "engine_us": median_with_interval(times["engine"] * 1e6),
        "hand_us": median_with_interval(times["hand"] * 1e6),
        "rounds": ROUNDS,
        "runs": runs,
    }


def main() -> None:
    """Measure both models."""
    pin_to_one_core()
    figures: dict[str, object] = {"one_node": measure(one_node())}
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
    if model.exists():
        figures["sample" if model == SAMPLE else model.stem] = measure(model.read_bytes())
    write_result("engine_overhead", figures)


if __name__ == "__main__":
    main()
