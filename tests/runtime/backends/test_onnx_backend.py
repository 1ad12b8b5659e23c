from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.errors import BackendError, DataError, EdgeHybridError, ModelError
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session
from edgehybrid.runtime.backends.onnx_session import MAX_SHAPES
from edgehybrid.tensors import TensorSpec

FLOAT = TensorProto.FLOAT
OPSET = [helper.make_opsetid("", 13)]
WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)


def value(name: str, shape: list[int | str] | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(folder: Path, graph: onnx.GraphProto, opsets: list[onnx.OperatorSetIdProto] = OPSET) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def dense(folder: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "dense",
        [value("x", ["batch", 4])],
        [value("y", ["batch", 3])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    return save(folder, graph)


def load(path: Path, weights_dir: Path | None = None) -> Session:
    return OnnxBackend().load(LoadRequest(model_file=path, weights_dir=weights_dir))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return load(dense(tmp_path_factory.mktemp("dense")))


def test_describes_its_tensors(session: Session) -> None:
    """Names, dtypes and axes are the file's own, free axes by their names."""
    assert (TensorSpec(name="x", dtype="float32", shape=("batch", 4)),) == session.inputs
    assert (TensorSpec(name="y", dtype="float32", shape=("batch", 3)),) == session.outputs


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=20), seed=st.integers(0, 9))
def test_any_order_of_shapes_gives_the_right_numbers(session: Session, lengths: list[int], seed: int) -> None:
    """Buffers are reused between runs of any lengths, also of more shapes than keep buffers, and never mix."""
    rng = np.random.default_rng(seed)
    for length in lengths:
        x = rng.standard_normal((length, 4)).astype(np.float32)
        np.testing.assert_allclose(x @ WEIGHT, session.run({"x": x})["y"], rtol=1e-5, atol=1e-5)


def test_outputs_belong_to_the_caller(session: Session) -> None:
    """A later run does not change what an earlier one returned, and the caller may write into it."""
    first = session.run({"x": np.ones((1, 4), np.float32)})["y"]
    kept = first.copy()
    session.run({"x": np.full((1, 4), 7, np.float32)})
    np.testing.assert_array_equal(kept, first)
    first[...] = -1
    np.testing.assert_array_equal(kept, session.run({"x": np.ones((1, 4), np.float32)})["y"])


def test_inputs_may_be_views(session: Session) -> None:
    """An input with strides, as slicing and transposing give, is read right."""
    x = np.arange(16, dtype=np.float32).reshape(4, 4).T
    np.testing.assert_allclose(x @ WEIGHT, session.run({"x": x})["y"], rtol=1e-5)


def test_threads_do_not_share_buffers(session: Session) -> None:
    """Runs from several threads at once each get the answer to their own input."""
    wrong: list[int] = []

    def work(factor: int) -> None:
        x = np.full((1, 4), factor, np.float32)
        want = x @ WEIGHT
        wrong.extend(factor for _ in range(300) if not np.allclose(want, session.run({"x": x})["y"]))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong


X = np.ones((1, 4), np.float32)


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "'x' is missing"),
        ({"z": X}, "no input 'z'"),
        ({"x": X, "extra": X}, "no input 'extra'"),
        ({"x": X.astype(np.float64)}, "is float64, the model takes float32"),
        ({"x": X.astype(">f4")}, "the model takes float32"),
        ({"x": np.ones((1, 5), np.float32)}, "shape [1, 5]"),
        ({"x": np.ones(4, np.float32)}, "x[None]"),
        ({"x": np.ones((0, 4), np.float32)}, "shape [0, 4]"),
        ({"x": X.tolist()}, "is a list, not a numpy array"),
        ({"x": None}, "is a NoneType"),
        (X, "came as ndarray"),
        (None, "came as NoneType"),
        ([("x", X)], "came as list"),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_hostile_feeds_say_what_to_mend(tmp_path: Path, feeds: object, says: str, warm: bool) -> None:
    """Feeds that do not fit raise DataError with the name and the fix, on the first run and on later ones."""
    fresh = load(dense(tmp_path))
    if warm:
        fresh.run({"x": X})
    with pytest.raises(DataError) as caught:
        fresh.run(feeds)  # type: ignore[arg-type]  # hostile on purpose
    assert says in str(caught.value)
    np.testing.assert_allclose(X @ WEIGHT, fresh.run({"x": X})["y"])


def test_outputs_of_unknown_shape_run_unbound(tmp_path: Path) -> None:
    """An output whose size depends on the data has the right size each time."""
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x", [4])], [value("y", [1, "found"], TensorProto.INT64)])
    nonzero = load(save(tmp_path, graph))
    for x in ([1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]):
        array = np.asarray(x, np.float32)
        np.testing.assert_array_equal(np.asarray(np.nonzero(array)), nonzero.run({"x": array})["y"])


def test_a_model_that_breaks_its_declared_shape_still_runs(tmp_path: Path) -> None:
    """Axes that the file names alike but that differ in truth fall back to outputs that the engine allocates."""
    nodes = [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)]
    graph = helper.make_graph(nodes, "g", [value("x", ["n", 2])], [value("y", ["n", 2])])
    twice = load(save(tmp_path, graph))
    for length in (1, 2, 1):
        x = np.full((length, 2), length, np.float32)
        np.testing.assert_array_equal(np.concatenate([x, x]), twice.run({"x": x})["y"])


def test_memory_is_bounded_over_many_shapes(tmp_path: Path) -> None:
    """Only a few shapes keep buffers; the rest run all the same."""
    fresh = load(dense(tmp_path))
    for length in range(1, 3 * MAX_SHAPES):
        assert (length, 3) == fresh.run({"x": np.ones((length, 4), np.float32)})["y"].shape
    assert MAX_SHAPES == len(fresh._pools)  # type: ignore[attr-defined]  # what keeps the memory


def test_strings_and_scalars(tmp_path: Path) -> None:
    """Tensors that cannot be bound, and tensors without axes, run too."""
    nodes = [helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Neg", ["x"], ["y"])]
    ins = [value("s", [1], TensorProto.STRING), value("x", [])]
    graph = helper.make_graph(nodes, "g", ins, [value("t", [1], TensorProto.STRING), value("y", [])])
    outputs = load(save(tmp_path, graph)).run({"s": np.asarray(["word"], object), "x": np.asarray(2, np.float32)})
    assert "word" == outputs["t"][0]
    assert -2.0 == outputs["y"]


def test_a_released_session_is_gone(tmp_path: Path) -> None:
    """Nothing keeps a session alive after its last reference, so that its memory comes back."""
    fresh = load(dense(tmp_path))
    fresh.run({"x": X})
    gone = weakref.ref(fresh)
    del fresh
    gc.collect()
    assert gone() is None


def test_external_weights_come_from_their_folder(tmp_path: Path) -> None:
    """Weights lie apart from the model file, as in a bundle; without them the error names the file."""
    model = onnx.load(dense(tmp_path))
    weights = tmp_path / "weights"
    weights.mkdir()
    apart = tmp_path / "apart.onnx"
    onnx.save(model, apart, save_as_external_data=True, location="w.bin", size_threshold=0)
    with_weights = weights / "w.bin"
    (tmp_path / "w.bin").rename(with_weights)
    np.testing.assert_allclose(X @ WEIGHT, load(apart, weights).run({"x": X})["y"])
    with_weights.write_bytes(b"cut")
    with pytest.raises(ModelError, match="missing or cut short"):
        load(apart, weights)
    with_weights.unlink()
    with pytest.raises(ModelError, match="missing or cut short"):
        load(apart, weights)


@pytest.mark.parametrize(
    ("node", "opsets", "says"),
    [
        (helper.make_node("Bogus", ["x"], ["y"]), OPSET, "no operator Bogus (domain ai.onnx, opset 13)"),
        (
            helper.make_node("Bogus", ["x"], ["y"], domain="my.ops"),
            [*OPSET, helper.make_opsetid("my.ops", 1)],
            "no operator Bogus (domain my.ops)",
        ),
        (helper.make_node("Relu", ["x"], ["y"]), [helper.make_opsetid("", 999)], "opset 999"),
    ],
)
def test_an_operator_that_is_lacking_is_named(
    tmp_path: Path, node: onnx.NodeProto, opsets: list[onnx.OperatorSetIdProto], says: str
) -> None:
    """A model that this onnxruntime cannot run names the operator or the opset, and a fix."""
    path = save(tmp_path, helper.make_graph([node], "g", [value("x", [1])], [value("y", [1])]), opsets)
    with pytest.raises(ModelError) as caught:
        load(path)
    assert says in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"", b"not a model at all", None, b"\x08"])
def test_damaged_files_are_model_errors(tmp_path: Path, content: bytes | None) -> None:
    """Empty, foreign and missing files raise ModelError with the path."""
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        load(path)


@given(keep=st.floats(0, 0.99))
def test_truncated_files_are_model_errors(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    """A file cut at any place either fails with our error or is not cut where it matters; never a foreign exception."""
    folder = tmp_path_factory.mktemp("cut")
    path = dense(folder)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(EdgeHybridError):
        load(path)


def test_run_failures_are_ours(tmp_path: Path) -> None:
    """An operator that fails while running raises BackendError with the file's name."""
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
    ins = [value("x", [3]), value("i", [1], TensorProto.INT64)]
    gather = load(save(tmp_path, helper.make_graph(nodes, "g", ins, [value("y", [1])])))
    x = np.arange(3, dtype=np.float32)
    for _ in range(2):
        with pytest.raises(BackendError, match=r"model\.onnx"):
            gather.run({"x": x, "i": np.asarray([9])})
        assert 2.0 == gather.run({"x": x, "i": np.asarray([2])})["y"][0]
