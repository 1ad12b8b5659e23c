from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, pack
from edgehybrid.exporters.model import find_components
from edgehybrid.exporters.precision import Setting, quantize
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend


def test_equal_tensors_are_stored_once(zoo: Any) -> None:
    """A second variant with the same weights adds nothing to the shared file."""
    graph = zoo.dense(hidden=64)
    one, two = pack({"a": graph}), pack({"a": graph, "b": graph})

    assert one.weights == two.weights
    assert 2 * 4 * 32 * 64 <= len(one.weights)


def test_variants_share_what_they_have_in_common(zoo: Any) -> None:
    """A mixture stores only what it changes; each variant's own size counts everything it needs."""
    graph = zoo.hybrid()
    mixed = quantize(graph, find_components(graph), {"recurrent": "w8"}, Setting()).graph
    packed = pack({"fp32": graph, "mixed": mixed})

    assert len(packed.weights) + sum(map(len, packed.models.values())) < 0.8 * sum(packed.size_bytes.values())
    assert packed.size_bytes["mixed"] < packed.size_bytes["fp32"]


def test_packed_files_load_and_give_the_same(zoo: Any, tmp_path: Path) -> None:
    """The engine's own back end reads a packed variant, on any batch, with bit-equal outputs."""
    graph = zoo.hybrid()
    packed = pack({"a": zoo.conv(), "b": graph})
    (tmp_path / WEIGHTS_FILE).write_bytes(packed.weights)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / MODEL_FILE).write_bytes(packed.models["b"])
    session = OnnxBackend().load(LoadRequest(model_file=tmp_path / "b" / MODEL_FILE, weights_dir=tmp_path))

    for batch in (1, 3):
        feeds = zoo.feeds(graph, batch)
        np.testing.assert_array_equal(zoo.run(graph, feeds), session.run(feeds)["y"])


def test_large_tensors_are_aligned_and_small_ones_inline(zoo: Any) -> None:
    """External tensors start at 64 bytes, those of 64 KiB at a page; below 1 KiB they stay in the model file."""
    s = zoo.sketch()
    y = s.op("MatMul", s.op("MatMul", "x", s.weight(16, 17)), s.weight(17, 1024))
    y = s.op("MatMul", s.op("Add", y, s.weight(1024)), s.weight(1024, 4))
    packed = pack({"a": s.close(s.op("Add", y, s.weight(4)), ["batch", 16], ["batch", 4])})
    places = {}
    for tensor in onnx.load_model_from_string(packed.models["a"]).graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        places[tensor.name] = (int(entries["offset"]), int(entries["length"])) if entries else None

    assert None is places["w4"]
    assert [0] * 4 == [p[0] % (4096 if p[1] >= 65536 else 64) for p in places.values() if p is not None]


def test_packing_is_deterministic_and_leaves_its_input_alone(zoo: Any) -> None:
    """Equal graphs give equal bytes, and stay as they were."""
    graph = zoo.hybrid()
    before = graph.digest

    assert pack({"a": graph}) == pack({"a": graph})
    assert before == graph.digest
