"""In the emulated machine whose clock is its instructions: instructions of every operator of every variant.

python operators.py BUNDLE...
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import onnxruntime as ort

from edgehybrid.bundle import Bundle, StageInfo, VariantInfo

RUNS = 4


def count(bundle: Bundle, stage: StageInfo, variant: VariantInfo) -> Counter[str]:
    """Return thousands of instructions by operator: the least of some runs of each node, on one golden input."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = "/tmp/profile"
    weights = bundle.weights_dir(variant)
    if weights is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    session = ort.InferenceSession(str(bundle.model_path(variant)), options, providers=["CPUExecutionProvider"])
    feeds = {name: array[:1] for name, array in bundle.golden_inputs(stage, variant).items()}
    for _ in range(RUNS):
        session.run(None, feeds)
    nodes = defaultdict[tuple[str, str], list[int]](list)
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"])  # 1 µs is 1,000 instructions
    found = Counter[str]()
    for (operator, _), times in nodes.items():
        found[operator] += min(times)
    return found


def main() -> None:
    """Print a line for every operator of every variant."""
    for path in sys.argv[1:]:
        bundle = Bundle.open(path)
        for stage in bundle.stages:
            for variant in stage.variants:
                if variant.format == "onnx":
                    for operator, thousands in count(bundle, stage, variant).most_common():
                        words = ("operator", Path(path).stem, f"{stage.name}/{variant.name}", operator, str(thousands))
                        sys.stdout.write(" ".join(words) + "\n")


if __name__ == "__main__":
    main()
