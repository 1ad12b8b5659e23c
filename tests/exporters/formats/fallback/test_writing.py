"""The whole way with stand-ins for litert-torch: programs that lay down a file of our own writer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="the extra export-tflite is not installed")

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats import Quantizing, Source, fallback, write_float
from edgehybrid.exporters.formats.fallback.narrowed import narrowed
from edgehybrid.exporters.formats.fallback.writing import write_float_from_torch
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.formats.litert.recipes import RECIPES, calibrate, quantize
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.tensors import TensorSpec
from tests.exporters.formats.litert.test_forms import MODEL, ROWS

NAME = "another 1.0"
ORIGIN = fallback.Origin(source="nets:make", outputs=("y",))
FEEDS = [{"x": np.random.default_rng(seed).standard_normal((1, 6)).astype(np.float32)} for seed in range(4)]


@pytest.fixture
def source(sinh: Graph) -> Source:
    """What a file of ``sinh`` must take, give and compute; the last check has several rows."""
    session = open_session(sinh.proto)

    def reference(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": session.run(None, dict(feeds))[0]}

    shape = ("batch", 6)
    return Source(
        graph=sinh,
        inputs=(TensorSpec(name="x", dtype="float32", shape=shape),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=shape),),
        rows=FEEDS,
        checks=(*FEEDS, {"x": np.concatenate([feeds["x"] for feeds in FEEDS])}),
        reference=reference,
    )


def lays_down(content: bytes, folder: Path) -> tuple[str, ...]:
    """A converter that always writes the same."""
    (folder / "made").write_bytes(content)
    code = f"import shutil, sys; shutil.copy({str(folder / 'made')!r}, sys.argv[1] + '/model.tflite')"
    return sys.executable, "-c", code


def test_a_right_file_passes_the_same_gate(source: Source, sinh_by_hand: Graph, tmp_path: Path) -> None:
    """Our own writer names the operator that it lacks; the other file takes the graph's names and passes.

    It says who wrote it, and asks for the engine that it was tried in, and no older one.
    """
    with pytest.raises(ModelError, match="Sinh 'the-one'"):
        write_float(source, tmp_path)
    command = lays_down(convert(sinh_by_hand, {"args_0": FEEDS[0]["x"]}), tmp_path)
    file = write_float_from_torch(ORIGIN, source, tmp_path, NAME, command=command)

    assert NAME == file.writer
    assert {"ai-edge-litert"} == set(file.needs)
    with pytest.raises(ModelError, match="no weights could be made smaller"):
        Quantizing(file, source, tmp_path)("w8")


def test_a_wrong_file_is_stopped_by_the_gate(source: Source, sinh_by_hand: Graph, tmp_path: Path) -> None:
    """A file that loads and runs and computes something else is refused with its distance, and with who wrote it."""
    proto = type(sinh_by_hand.proto)()
    proto.CopyFrom(sinh_by_hand.proto)
    proto.graph.node[3].op_type = "Add"  # cosh
    command = lays_down(convert(Graph(proto=proto), {"args_0": FEEDS[0]["x"]}), tmp_path)

    with pytest.raises(ModelError, match=r"another 1.0 wrote a file that does not pass: .* differs by"):
        write_float_from_torch(ORIGIN, source, tmp_path, NAME, command=command)


def test_a_file_of_other_shapes_is_stopped(source: Source, sinh_by_hand: Graph, tmp_path: Path) -> None:
    """A file for seven numbers does not serve a graph of six."""
    proto = type(sinh_by_hand.proto)()
    proto.CopyFrom(sinh_by_hand.proto)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[1].dim_value = 7
    command = lays_down(convert(Graph(proto=proto), {"args_0": np.zeros((1, 7), np.float32)}), tmp_path)

    with pytest.raises(ModelError, match="does not pass"):
        write_float_from_torch(ORIGIN, source, tmp_path, NAME, command=command)


def test_order_says_which_outputs_are_wanted(source: Source, sinh_by_hand: Graph, tmp_path: Path) -> None:
    """Exits that were taken off the graph are not asked for: the place of the others among all outputs is."""
    command = lays_down(convert(sinh_by_hand, {"args_0": FEEDS[0]["x"]}), tmp_path)
    origin = replace(ORIGIN, outputs=("early", "y"))
    write_float_from_torch(origin, source, tmp_path, NAME, command=command)

    from edgehybrid.exporters.formats.fallback.order import take_order

    order, row, expected = take_order(tmp_path / "converter")
    assert (1,) == order.outputs
    assert 2 == order.count
    np.testing.assert_allclose(np.sinh(FEEDS[0]["x"]), np.asarray(expected[0], np.float32), rtol=1e-6)
    np.testing.assert_array_equal(FEEDS[0]["x"], row[0])


@pytest.mark.parametrize("form", ["fp16", "w8", "w8-dyn", "w8a8"])
def test_what_was_made_smaller_is_seen(form: str) -> None:
    """Convolutions and products of a quantized file are found narrow, whichever way the recipe writes them."""
    floats = convert(Graph(proto=MODEL), ROWS[0])
    ranges = calibrate(floats, ROWS) if RECIPES[form].calibrated else None

    assert (False, False) == narrowed(floats)
    assert (True, True) == narrowed(quantize(floats, RECIPES[form], ranges))
