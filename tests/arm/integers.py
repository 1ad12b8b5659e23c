"""Pieces of the shipped graphs in which integers decide, with what comes into them: equal on every processor.

A piece goes from integers to integers: what stands between one ``QuantizeLinear`` and those before it, of which ONNX
Runtime makes one kernel: a product in int32 and one rounding, or a table. Only a product that falls between two
integers to the last bit may round to the other one. Products with a range found at run time (``w8-dyn``) end in floats.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle
from edgehybrid.exporters.model import open_session

_PLAIN = {"Conv", "MatMul", "Gemm", "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "MaxPool"}
_INTEGER = frozenset({"DequantizeLinear", "QuantizeLinear", "Relu", "Clip", "Sigmoid", *_PLAIN})
_DYNAMIC = frozenset({"DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A model of a few nodes.

    Attributes:
        name: Variant and value that it gives.
        integers: Whether it gives integers.
        model: Serialized.
        feeds: What comes in.
    """

    name: str
    integers: bool
    model: bytes
    feeds: Mapping[str, NDArray[np.generic]]


def pieces(bundle: Bundle) -> list[Piece]:
    """Cut every ONNX variant of ``bundle``; what comes in is what its golden inputs make."""
    found = []
    for stage in bundle.stages:
        for variant in stage.variants:
            if variant.format == "onnx":
                model = _folded(bundle.model_path(variant), bundle.weights_dir(variant))
                found += _of(f"{stage.name}/{variant.name}", model, bundle.golden_inputs(stage, variant))
    return found


def save(found: Iterable[Piece], folder: Path) -> None:
    """Write ``NUMBER.onnx`` and ``NUMBER.npz`` for each piece, for ``guest/pieces.py``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, piece in enumerate(found):
        (folder / f"{index}.onnx").write_bytes(piece.model)
        np.savez(folder / f"{index}.npz", **piece.feeds)  # type: ignore[arg-type]  # numpy's stub takes names for options


def _folded(path: Path, weights: Path | None) -> onnx.ModelProto:
    """The graph with its weights inside, those computed that are made of others; nothing fused that one CPU has."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        if weights is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
            for file in weights.iterdir():
                shutil.copy(file, folder)
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _of(variant: str, model: onnx.ModelProto, feeds: Mapping[str, NDArray[np.generic]]) -> list[Piece]:
    makers = {name: node for node in model.graph.node for name in node.output}
    given = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    cuts = [_cut(node, makers, given) for node in model.graph.node]
    wanted = [cut for cut in cuts if cut is not None]
    borders = sorted({name for _, starts, _, _ in wanted for name in starts} - {v.name for v in model.graph.input})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in borders)
    values = dict(feeds)
    if borders:
        values |= dict(zip(borders, open_session(probe, optimize=False).run(None, dict(feeds)), strict=True))
    return [
        Piece(
            name=f"{variant}/{ends[0]}",
            integers=integers,
            model=_extract(model, nodes, {name: values[name] for name in starts}, ends),
            feeds={name: values[name] for name in starts},
        )
        for integers, starts, ends, nodes in wanted
    ]


def _cut(
    node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], given: Mapping[str, int]
) -> tuple[bool, list[str], list[str], list[onnx.NodeProto]] | None:
    """Whether it gives integers, inputs, outputs, nodes of the piece that ends in ``node``; ``None`` if it is none."""
    if node.op_type in _DYNAMIC:
        starts = [name for name in node.input if name in makers or name in given]
        return (False, starts, [node.output[0]], [node]) if starts else None
    if node.op_type != "QuantizeLinear" or node.input[0] not in makers:
        return None
    inside: dict[str, onnx.NodeProto] = {node.output[0]: node}
    starts, todo = [], [node.input[0]]
    while todo:
        name = todo.pop()
        maker = makers.get(name)
        if name in given:  # of a stage that was cut at integers
            if given[name] not in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
                return None
            starts.append(name)
            continue
        if maker is None or name in inside:
            continue
        if maker.op_type == "QuantizeLinear":
            starts.append(name)
            continue
        if maker.op_type not in _INTEGER:
            return None
        inside[name] = maker
        todo += [item for item in maker.input if item]
    return (True, sorted(set(starts)), [node.output[0]], list(inside.values())) if starts else None


def _extract(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    starts: Mapping[str, NDArray[np.generic]],
    ends: list[str],
) -> bytes:
    read = {name for node in nodes for name in node.input}
    order = [node for node in model.graph.node if any(node is item for item in nodes)]
    graph = onnx.GraphProto(name="piece", node=order)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    for name, value in starts.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in ends)
    piece = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)
    return bytes(piece.SerializeToString())
