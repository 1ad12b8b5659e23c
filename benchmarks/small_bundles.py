"""Bundles that the measurements make for themselves: any model twice, as two points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import Array, LoadRequest, OnnxBackend
from edgehybrid.testing.bundles import make_bundle, make_point

SAMPLE = Path(__file__).parents[1] / "samples/keyword_spotter/model.onnx"


def one_node() -> bytes:
    """Return a model of one Relu over 40 numbers: almost nothing but the call itself."""
    return _model([helper.make_node("Relu", ["x"], ["y"])], 40, [])


def layers(depth: int, width: int = 192) -> bytes:
    """Return a chain of ``depth`` dense layers of ``width`` numbers."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i in range(depth):
        weight = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        out = "y" if i == depth - 1 else f"h{i}"
        nodes += [helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]), helper.make_node("Tanh", [f"m{i}"], [out])]
        last = out
    return _model(nodes, width, weights)


def two_points(folder: Path, first: bytes, second: bytes) -> tuple[Bundle, dict[str, Array]]:
    """Write a bundle whose points ``max`` and ``min`` run ``first`` and ``second``.

    Returns:
        The bundle, and feeds for it (free axes of length 1).
    """
    models = {"fp32": first, "max": first, "min": second}
    rng = np.random.default_rng(0)
    goldens: dict[str, dict[str, Array]] = {}
    feeds: dict[str, Array] = {}
    specs = None
    for name, data in models.items():
        path = folder / f"{name}.onnx"
        path.write_bytes(data)
        session = OnnxBackend().load(LoadRequest(model_file=path))
        specs = specs or (session.inputs, session.outputs)
        feeds = feeds or {
            spec.name: rng.standard_normal([n if isinstance(n, int) else 1 for n in spec.shape]).astype(spec.dtype)
            for spec in session.inputs
        }
        goldens[name] = session.run(feeds)
    inputs, outputs = specs or ((), ())
    points = [make_point(name, energy_mj=energy) for name, energy in (("fp32", 9), ("max", 5), ("min", 1))]
    bundle = make_bundle(
        folder / "bench.bundle",
        points=points,
        inputs=inputs,
        outputs=outputs,
        golden_inputs=feeds,
        golden_outputs=goldens,
        models=models,
    )
    return bundle, feeds


def _model(nodes: list[onnx.NodeProto], width: int, weights: list[onnx.TensorProto]) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "bench", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
