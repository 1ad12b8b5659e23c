"""The parts of an attention block, found around its softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import LAYOUT_OPS, array_of, attribute

Float32Array = NDArray[np.float32]
_MOVES = LAYOUT_OPS - {"Cast", "Expand", "Tile"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """``result = x·w + b``: ``w`` has shape ``(features, columns)``; ``result`` is what the heads are cut from."""

    x: ir.Value
    w: Float32Array
    b: Float32Array | None
    result: ir.Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An attention block.

    Attributes:
        softmax: Its middle.
        anchor: The node that multiplies with the values; the fused node goes before it.
        operands: Queries and keys as the first product reads them, values as the second one does.
        factors: What each operand was multiplied with on its way from the projection.
        projections: Of queries, keys and values; one result may serve all three.
        scale: All factors together.
    """

    softmax: ir.Node
    anchor: ir.Node
    operands: tuple[ir.Value, ir.Value, ir.Value]
    factors: tuple[float, float, float]
    projections: tuple[Projection, Projection, Projection]
    scale: float


def find_parts(softmax: ir.Node) -> Parts | str | None:
    """Find the block around ``softmax``: why it is no plain self-attention, or ``None`` if it is none at all."""
    users = [user for user, _ in softmax.outputs[0].uses()]
    product, inner, obstacle = _scores(softmax.inputs[0])
    if (
        product is None
        or len(users) != 1
        or users[0].op_type != "MatMul"
        or users[0].inputs[0] is not softmax.outputs[0]
    ):
        return None
    if obstacle is not None:
        return obstacle
    if softmax.outputs[0].is_graph_output():
        return "its weights are an output of the model"
    if attribute(softmax, "axis", -1) not in (-1, 3):
        return "its softmax is not along the last axis"
    found: list[tuple[ir.Value, float, Projection]] = []
    for operand, role in zip((*product.inputs[:2], users[0].inputs[1]), ("queries", "keys", "values"), strict=True):
        if operand is None:
            return f"its {role} are missing"
        source, factor = _source(operand)
        projection = _projection(source)
        if projection is None:
            return f"its {role} come from no product with constant weights"
        found.append((operand, factor, projection))
    (q, q_factor, q_from), (k, k_factor, k_from), (v, v_factor, v_from) = found
    if v_factor != 1.0:
        return "its values are scaled"
    return Parts(
        softmax=softmax,
        anchor=users[0],
        operands=(q, k, v),
        factors=(q_factor, k_factor, v_factor),
        projections=(q_from, k_from, v_from),
        scale=inner * q_factor * k_factor,
    )


def _scores(value: ir.Value | None) -> tuple[ir.Node | None, float, str | None]:
    """Climb from the softmax to the product of queries and keys: the product, the factor, what is in the way."""
    factor, obstacle = 1.0, None
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "MatMul":
            return node, factor, obstacle
        scaled = _scaled(node)
        if scaled is not None:
            value, factor = scaled[0], factor * scaled[1]
        elif node.op_type in ("Add", "Where"):
            obstacle = "it has a mask or a position bias"
            value = next((x for x in node.inputs if x is not None and array_of(x) is None), None)
        else:
            break
    return None, factor, obstacle


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """The other factor and the number, if ``node`` multiplies or divides by one number."""
    if node.op_type not in ("Mul", "Div"):
        return None
    for place in (1, 0) if node.op_type == "Mul" else (1,):
        array, other = array_of(node.inputs[place]), node.inputs[1 - place]
        if array is not None and array.size == 1 and other is not None:
            number = float(array.item())
            return other, number if node.op_type == "Mul" else 1.0 / number
    return None


def _source(value: ir.Value) -> tuple[ir.Value, float]:
    """Climb through what only moves or scales numbers; returns where they come from, and the factor."""
    factor = 1.0
    while (node := value.producer()) is not None:
        scaled = _scaled(node)
        if scaled is not None:
            value, factor = scaled[0], factor * scaled[1]
        elif node.op_type in _MOVES and node.inputs[0] is not None:
            value = node.inputs[0]
        else:
            break
    return value, factor


def _projection(result: ir.Value) -> Projection | None:
    node = result.producer()
    if node is None:
        return None
    if node.op_type == "Add":
        for place in (0, 1):
            bias, product = array_of(node.inputs[place]), node.inputs[1 - place]
            inner = product.producer() if product is not None else None
            if bias is not None and bias.ndim == 1 and inner is not None and inner.op_type == "MatMul":
                return _product(inner, np.asarray(bias, dtype=np.float32), result)
        return None
    if node.op_type == "MatMul":
        return _product(node, None, result)
    if node.op_type == "Gemm" and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0:
        if attribute(node, "transA", 0):
            return None
        third = node.inputs[2] if len(node.inputs) > 2 else None
        bias = array_of(third)
        if third is not None and (bias is None or bias.ndim != 1):
            return None
        return _product(node, None if bias is None else np.asarray(bias, dtype=np.float32), result)
    return None


def _product(node: ir.Node, bias: Float32Array | None, result: ir.Value) -> Projection | None:
    w, x = array_of(node.inputs[1]), node.inputs[0]
    if w is None or w.ndim != 2 or w.dtype != np.float32 or x is None:
        return None
    w = w.T if attribute(node, "transB", 0) else w
    if bias is not None and bias.shape != (w.shape[1],):
        return None
    return Projection(x=x, w=np.asarray(w, dtype=np.float32), b=bias, result=result)
