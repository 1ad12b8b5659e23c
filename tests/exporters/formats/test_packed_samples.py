from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, pack
from edgehybrid.exporters.model import Graph, find_components, load_model, open_session
from edgehybrid.exporters.precision import Setting, quantize
from edgehybrid.exporters.rewrites import rewrite

SAMPLES = Path(__file__).parents[3] / "samples"


def variants(zoo: Any, sample: str) -> dict[str, Graph]:
    """The reference of a sample, its rewritten form, and that with integers in two ways."""
    graph = load_model(SAMPLES / sample / "model.onnx").graph
    opt = rewrite(graph, zoo.probes(graph)).graph
    parts = find_components(opt)
    made = {"fp32": graph, "opt": opt}
    for scheme in ("w8", "w8-dyn"):
        recipe = {
            part.name: scheme for part in parts if part.family in ("convolution", "recurrent", "attention", "dense")
        }
        made[scheme] = quantize(opt, parts, recipe, Setting()).graph
    return made


@pytest.mark.parametrize("sample", ["vibration_monitor", "keyword_spotter"])
def test_a_bundle_takes_little_more_than_half_of_its_variants(zoo: Any, sample: str) -> None:
    """Models and weights together take at most 0.58 times what the variants would take stored apart."""
    packed = pack(variants(zoo, sample))

    assert len(packed.weights) + sum(map(len, packed.models.values())) < 0.58 * sum(packed.size_bytes.values())


@pytest.mark.parametrize("sample", ["vibration_monitor", "keyword_spotter"])
def test_onnx_runtime_builds_the_same_from_a_packed_file(zoo: Any, tmp_path: Path, sample: str) -> None:
    """Derived weights are folded away, nothing that was fused is no longer: same operators, same bits."""
    graphs = variants(zoo, sample)
    packed = pack(graphs)
    (tmp_path / WEIGHTS_FILE).write_bytes(packed.weights)
    for name, graph in graphs.items():
        (tmp_path / MODEL_FILE).write_bytes(packed.models[name])
        plain, file = onnx.load_model_from_string(graph.to_bytes()), onnx.load(tmp_path / MODEL_FILE)
        found = []
        feeds = zoo.feeds(graph, 2)
        for number, model in enumerate((plain, file)):
            saved = tmp_path / f"fused-{number}.onnx"
            (y,) = open_session(model, save_to=str(saved)).run(None, feeds)
            operators = Counter(node.op_type for node in onnx.load(saved, load_external_data=False).graph.node)
            found.append((operators, y))

        assert merged(found[0][0]) == merged(found[1][0]), name
        np.testing.assert_array_equal(found[0][1], found[1][1])


def merged(operators: Counter[str]) -> Counter[str]:
    """Count a compact ensemble with its base value as the one operator that it was."""
    trees = operators.pop("TreeEnsemble", 0)
    return operators + Counter(TreeEnsembleRegressor=trees) - Counter(Add=trees)
