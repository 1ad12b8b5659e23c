from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgehybrid.errors import BackendError, DataError, ModelError
from edgehybrid.runtime.backends import LITERT, TFLITE_RUNTIME, LoadRequest, Session, TfliteBackend
from edgehybrid.runtime.backends.tflite_engine import Engine, numbers, require_engine, unfit
from edgehybrid.tensors import TensorSpec

pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)
FREE = (TensorSpec(name="x", dtype="float32", shape=("batch", 4)),)
GIVEN = (TensorSpec(name="y", dtype="float32", shape=("rows", 3)),)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``y = x · Wᵀ`` of one row."""
    pytest.importorskip("flatbuffers", reason="the extra export-tflite is not installed")
    from ai_edge_litert import schema_py_generated as schema

    from edgehybrid.exporters.formats.litert.flat import Flat

    flat = Flat()
    x, y = flat.tensor("a", (1, 4), "float32"), flat.tensor("b", (1, 3), "float32")
    code, options = schema.BuiltinOperator.FULLY_CONNECTED, schema.FullyConnectedOptionsT()
    flat.add(code, (x, flat.constant(WEIGHT, "w"), flat.constant(np.zeros(3, np.float32), "bias")), (y,), options)
    place = tmp_path_factory.mktemp("dense") / "model.tflite"
    place.write_bytes(flat.finish({"x": x}, {"y": y}))
    return place


def load(place: Path, needs: Mapping[str, str] | None = None) -> Session:
    request = LoadRequest(model_file=place, inputs=FREE, outputs=GIVEN, needs=needs or {})
    return TfliteBackend().load(request)


def test_tensors_are_those_of_the_signature(dense: Path) -> None:
    """Names are the signature's, not the tensors'; without a bundle shapes are the file's own."""
    session = TfliteBackend().load(LoadRequest(model_file=dense))

    assert (TensorSpec(name="x", dtype="float32", shape=(1, 4)),) == session.inputs
    assert (TensorSpec(name="y", dtype="float32", shape=(1, 3)),) == session.outputs


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_free_axis_is_served_row_by_row(dense: Path, rows: int) -> None:
    """A file of one row takes as many as the bundle allows, and gives as many, also under another name of the axis."""
    session = load(dense)
    x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)

    np.testing.assert_allclose(x @ WEIGHT.T, session.run({"x": x})["y"], rtol=1e-5)
    assert FREE == session.inputs
    assert GIVEN == session.outputs


def test_loading_says_nothing_on_standard_error(dense: Path) -> None:
    """The engine's notice about XNNPACK does not reach the app's users; what anybody else writes meanwhile does."""
    program = f"""
import os
from pathlib import Path
from edgehybrid.runtime.backends import LoadRequest, TfliteBackend
from edgehybrid.runtime.backends.notices import without_notice
with without_notice():
    os.write(2, b"inside ")
TfliteBackend().load(LoadRequest(model_file=Path({str(dense)!r})))
os.write(2, b"after")
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert "inside after" == done.stderr


def test_outputs_belong_to_the_caller(dense: Path) -> None:
    """A later run does not change what an earlier one returned."""
    session = load(dense)
    first = session.run({"x": np.ones((1, 4), np.float32)})["y"]
    kept = first.copy()
    session.run({"x": np.full((1, 4), 7, np.float32)})

    np.testing.assert_array_equal(kept, first)


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "'x' is missing"),
        ({"x": np.zeros((1, 4), np.float64)}, "takes float32"),
        ({"x": np.zeros((1, 5), np.float32)}, "does not fit"),
        ({"x": np.zeros((1, 4), np.float32), "z": np.zeros(1)}, "no input 'z'"),
        (None, "not as a mapping"),
    ],
)
def test_wrong_inputs_are_named(dense: Path, feeds: Any, said: str) -> None:
    """What does not fit is refused in words, before the engine sees it."""
    with pytest.raises(DataError, match=said):
        load(dense).run(feeds)


def test_threads_do_not_meet(dense: Path) -> None:
    """Several threads run one session at once, each with its own interpreter, and all get their own answers."""
    session, wrong = load(dense), list[int]()

    def work(number: int) -> None:
        x: NDArray[np.float32] = np.full((1, 4), number, np.float32)
        for _ in range(200):
            if not np.allclose(session.run({"x": x})["y"], x @ WEIGHT.T):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    """What is no TFLite file is named, with the engine that refused it."""
    place = tmp_path / "model.tflite"
    with pytest.raises(ModelError, match="no model file"):
        load(place)
    place.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=f"{LITERT} .* cannot load"):
        load(place)


def test_a_file_that_contradicts_its_bundle_is_refused(dense: Path) -> None:
    """A tensor of another shape than the bundle says is found when it is loaded, not when it runs."""
    specs = (TensorSpec(name="x", dtype="float32", shape=("batch", 5)),)
    with pytest.raises(ModelError, match=r"not as x: float32\[batch, 5\]"):
        TfliteBackend().load(LoadRequest(model_file=dense, inputs=specs))


def test_an_engine_that_would_compute_it_wrongly_is_refused(dense: Path) -> None:
    """A file says which engines run it right: an older one, or another package, is refused instead of giving noise."""
    load(dense, {LITERT: "2.1.6"})
    with pytest.raises(BackendError, match="needs ai-edge-litert >= 999"):
        load(dense, {LITERT: "999"})
    with pytest.raises(BackendError, match="may give wrong numbers"):
        require_engine(Engine(package=LITERT, version="2.1.2"), {LITERT: "2.1.6"}, "static int8")
    with pytest.raises(BackendError, match="may give wrong numbers"):
        require_engine(Engine(package=TFLITE_RUNTIME, version="2.14.0"), {LITERT: "2.1.6"}, "int8 per channel")
    require_engine(Engine(package=TFLITE_RUNTIME, version="2.14.0"), {LITERT: "2.1.6", TFLITE_RUNTIME: "2.14.0"}, "mix")


def test_tflite_runtime_wants_an_old_numpy() -> None:
    """It imports beside numpy 2 and fails in its constructor: that is said before, with the way out."""
    assert "numpy<2" in str(unfit(TFLITE_RUNTIME, "2.4.6"))
    assert unfit(TFLITE_RUNTIME, "1.26.4") is None
    assert unfit(LITERT, "2.4.6") is None
    assert (2, 1, 6) == numbers("2.1.6rc1")
