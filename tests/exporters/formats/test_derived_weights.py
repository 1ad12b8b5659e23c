from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, Packed, pack
from edgehybrid.exporters.model import Graph
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend

Array = NDArray[np.generic]
Change = Callable[[Array], Array]

CHANGES: dict[str, Change] = {
    "turned": lambda w: np.ascontiguousarray(w.T),
    "gates reordered": lambda w: np.concatenate([w[:16], w[48:], w[16:32], w[32:48]]),
    "gates reordered, another axis in front": lambda w: np.concatenate([w[16:], w[:16]])[None],
    "columns cut out": lambda w: np.ascontiguousarray(w[:, 8:40]),
    "columns joined in another order": lambda w: np.ascontiguousarray(np.concatenate([w[:, 24:], w[:, :24]], axis=1)),
    "rows cut out and turned": lambda w: np.ascontiguousarray(w[5:37].T),
    "rows cut out": lambda w: w[5:37],
}


def holding(zoo: Any, *weights: Array) -> Graph:
    """A graph whose output is the sum of all weights' elements, each times a weight of its own, plus ``x``."""
    s = zoo.sketch()
    y = "x"
    for number, w in enumerate(weights):
        name = s.constant(w, w.dtype.type)
        if w.dtype != np.float32:
            name = s.op("Cast", name, to=onnx.TensorProto.FLOAT)
        coded = s.constant(np.arange(w.size, dtype=np.int64).reshape(w.shape) % (5 + number) - 2.0)
        y = s.op("Add", y, s.op("ReduceSum", s.op("Mul", name, coded), keepdims=0))
    graph: Graph = s.close(y, ["batch", 1], ["batch", 1])
    return graph


def run(packed: Packed, name: str, folder: Path) -> Array:
    """Let the engine's back end load a packed variant and run it."""
    (folder / name).mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(packed.weights)
    (folder / name / MODEL_FILE).write_bytes(packed.models[name])
    session = OnnxBackend().load(LoadRequest(model_file=folder / name / MODEL_FILE, weights_dir=folder))
    return session.run({"x": np.zeros((1, 1), np.float32)})["y"]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("change", CHANGES)
def test_weights_in_another_layout_are_not_stored_again(zoo: Any, tmp_path: Path, change: str, dtype: str) -> None:
    """What a variant only turns, cuts or joins adds no byte to the weights, and computes the same bits."""
    noise = np.random.default_rng(3).standard_normal((64, 48)) * 40
    w = noise.astype(dtype)
    changed = CHANGES[change](w)
    graphs = {"fp32": holding(zoo, w), "opt": holding(zoo, changed)}
    alone, both = pack({"fp32": graphs["fp32"]}), pack(graphs)
    coded = 4 * changed.size  # the numbers that the test multiplies by are new
    before = zoo.run(graphs["opt"], {"x": np.zeros((1, 1), np.float32)})

    assert len(both.weights) <= len(alone.weights) + coded + 64
    np.testing.assert_array_equal(before, run(both, "opt", tmp_path))


def test_one_other_bit_is_another_tensor(zoo: Any, tmp_path: Path) -> None:
    """A weight that is almost a transposed one is stored as it is."""
    w = np.random.default_rng(4).standard_normal((64, 48)).astype(np.float32)
    changed = np.ascontiguousarray(w.T)
    changed[-1, -1] = np.nextafter(changed[-1, -1], 9)
    packed = pack({"fp32": holding(zoo, w), "opt": holding(zoo, changed)})

    assert changed.tobytes() in packed.weights
    np.testing.assert_array_equal(
        zoo.run(holding(zoo, changed), {"x": np.zeros((1, 1), np.float32)}), run(packed, "opt", tmp_path)
    )


def test_the_first_of_the_variants_is_the_reference(zoo: Any) -> None:
    """Whatever the order, the reference's own tensors are stored and the others' are made of them."""
    w = np.random.default_rng(5).standard_normal((64, 48)).astype(np.float32)
    graphs = {"opt": holding(zoo, np.ascontiguousarray(w.T)), "fp32": holding(zoo, w)}
    reference = onnx.load_model_from_string(pack(graphs).models["fp32"])

    assert "Transpose" not in {node.op_type for node in reference.graph.node}


def test_models_of_old_opsets_store_their_weights(zoo: Any) -> None:
    """Before opset 13 the operators mean other things: nothing is derived."""
    w = np.random.default_rng(6).standard_normal((64, 48)).astype(np.float32)
    graphs = {}
    for name, array in (("fp32", w), ("opt", np.ascontiguousarray(w.T))):
        s = zoo.sketch()
        y = s.op("MatMul", "x", s.constant(array))
        graphs[name] = s.close(y, ["batch", array.shape[0]], ["batch", array.shape[1]], opset=12)
    packed = pack(graphs)

    assert 2 * w.nbytes <= len(packed.weights)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_mix_of_stored_rows_comes_out_bit_for_bit(zoo: Any, tmp_path_factory: Any, data: st.DataObject) -> None:
    """Rows of several tensors, in any order, repeated, turned or with zeros among them: the sum is the same."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    width = data.draw(st.integers(16, 24))
    stored = [rng.standard_normal((data.draw(st.integers(16, 40)), width)).astype(np.float32) for _ in range(2)]
    for w in stored:
        w[data.draw(st.lists(st.integers(0, 15), max_size=4))] = 0.0
    given_ones = [w.T.copy() if data.draw(st.booleans()) else w for w in stored]
    bounds = st.tuples(st.integers(0, 1), st.integers(0, 15), st.integers(1, 16))
    cuts = data.draw(st.lists(bounds, min_size=1, max_size=5))
    mixed = np.concatenate([stored[which][start : start + rows] for which, start, rows in cuts])
    mixed = mixed.T.copy() if data.draw(st.booleans()) else mixed
    graphs = {"fp32": holding(zoo, *given_ones), "opt": holding(zoo, mixed, *stored)}
    packed = pack(graphs)

    np.testing.assert_array_equal(
        zoo.run(graphs["opt"], {"x": np.zeros((1, 1), np.float32)}), run(packed, "opt", tmp_path_factory.mktemp("mix"))
    )
