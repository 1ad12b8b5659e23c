"""The parts of an attention block, found around its softmax, or around the operator ``Attention`` of opset 23."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import LAYOUT_OPS, array_of, attribute

Float32Array = NDArray[np.float32]
_MOVES = LAYOUT_OPS - {"Cast", "Expand", "Tile"}
_HIDDEN = -1e3  # a score that nobody sees after the softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """``result = x·w + b``: ``w`` has shape ``(features, columns)``; ``result`` is what the heads are cut from."""

    x: ir.Value
    w: Float32Array
    b: Float32Array | None
    result: ir.Value
    node: ir.Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What is added to the scores; or, with ``seen``, truth values: a score that is not ``seen`` becomes ``fill``."""

    value: ir.Value
    seen: bool | None = None
    fill: float = -np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An attention block.

    Attributes:
        middle: Its softmax, or the whole operator.
        anchor: The node whose output is the result, heads apart; the fused node goes before it.
        operands: Queries, keys and values as the products read them.
        turned: Whether the keys have their features before their positions.
        factors: What each operand was multiplied with on its way from the projection.
        projections: Of queries, keys and values, where known; one result may serve all three.
        inner: The factor of the scores.
        masks: What is added to the scores.
        causal: Whether a position sees only those before it.
        guarded: Whether rows that see nothing give zero instead of NaN.
    """

    middle: ir.Node
    anchor: ir.Node
    operands: tuple[ir.Value, ir.Value, ir.Value]
    turned: bool = True
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    projections: tuple[Projection | None, Projection | None, Projection | None] = (None, None, None)
    inner: float
    masks: tuple[Mask, ...] = ()
    causal: bool = False
    guarded: bool = False

    @property
    def scale(self) -> float:
        """All factors of the scores together."""
        return self.inner * self.factors[0] * self.factors[1]


@dataclass(slots=True)
class _Scores:
    """What lies between the softmax and the product of queries and keys."""

    product: ir.Node | None = None
    factor: float = 1.0
    masks: list[Mask] = field(default_factory=list)
    obstacle: str | None = None


def find_parts(node: ir.Node) -> Parts | str | None:
    """Find the block around ``node``: why it is not understood, or ``None`` if it is no attention at all."""
    if node.op_type == "Softmax":
        found = _around_softmax(node)
    elif node.op_type == "Attention" and node.domain == "":
        found = _operator(node)
    else:
        return None
    if not isinstance(found, Parts):
        return found
    sources = [_source(value) for value in found.operands]
    projections = [_projection(source) for source, _ in sources]
    (q, k, v), (a, b, c) = projections, [factor for _, factor in sources]
    return replace(found, projections=(q, k, v), factors=(a, b, c))


def _around_softmax(softmax: ir.Node) -> Parts | str | None:
    weights, guarded = _guard(softmax)
    users = [user for user, _ in weights.uses()]
    scores = _scores(softmax.inputs[0])
    product = scores.product
    if product is None or len(users) != 1 or users[0].op_type != "MatMul" or users[0].inputs[0] is not weights:
        return None
    if scores.obstacle is not None:
        return scores.obstacle
    if weights.is_graph_output() or softmax.outputs[0].is_graph_output():
        return "its weights are an output of the model"
    if attribute(softmax, "axis", -1) not in (-1, 3):
        return "its softmax is not along the last axis"
    q, k, v = product.inputs[0], product.inputs[1], users[0].inputs[1]
    if q is None or k is None or v is None:
        return "its operands are missing"
    return Parts(
        middle=softmax,
        anchor=users[0],
        operands=(q, k, v),
        inner=scores.factor,
        masks=tuple(scores.masks),
        guarded=guarded,
    )


def _operator(node: ir.Node) -> Parts | str:
    inputs = [*node.inputs, *([None] * 6)][:6]
    q, k, v, mask = inputs[:4]
    if q is None or k is None or v is None:
        return "its operands are missing"
    if any(value is not None for value in (*inputs[4:6], *node.inputs[6:])):
        return "it has a cache"
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return "its weights are read"
    if attribute(node, "softcap", 0.0):
        return "its scores are capped"
    if q.shape is None or len(q.shape) != 4:
        return "its heads are no axis of their own"
    size, scale = q.shape[-1], attribute(node, "scale", None)
    if scale is None and not isinstance(size, int):
        return "the size of its heads is not known"
    masks: tuple[Mask, ...] = ()
    if mask is not None:
        if mask.dtype is None:
            return "it is not known whether its mask is made of numbers or of truth values"
        masks = (Mask(value=mask, seen=True if mask.dtype == ir.DataType.BOOL else None),)
    return Parts(
        middle=node,
        anchor=node,
        operands=(q, k, v),
        turned=False,
        inner=float(scale) if scale is not None else float(size) ** -0.5,  # type: ignore[arg-type]  # checked above
        masks=masks,
        causal=bool(attribute(node, "is_causal", 0)),
    )


def _guard(softmax: ir.Node) -> tuple[ir.Value, bool]:
    """The weights after ``Where(IsNaN(p), 0, p)``, if that follows; torch writes it for masks of truth values."""
    p = softmax.outputs[0]
    users = {user.op_type: user for user, _ in p.uses()}
    where, test = users.get("Where"), users.get("IsNaN")
    if len(users) != 2 or where is None or test is None or where.inputs[0] is not test.outputs[0]:
        return p, False
    zero = array_of(where.inputs[1])
    if where.inputs[2] is not p or zero is None or zero.any():
        return p, False
    return where.outputs[0], True


def _scores(value: ir.Value | None) -> _Scores:
    """Climb from the softmax to the product of queries and keys."""
    found = _Scores()
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "MatMul":
            if array_of(node.inputs[1]) is None:
                found.product = node
            return found
        scaled = _scaled(node)
        if scaled is not None:
            value, found.factor = scaled[0], found.factor * scaled[1]
        elif node.op_type in ("Add", "Where"):
            if found.factor != 1.0:
                found.obstacle = "its mask is scaled together with its scores"
            value = _masked(node, found)
        elif node.op_type in LAYOUT_OPS:
            found.obstacle = "its scores are cut and joined in another order"
            value = node.inputs[0]
        else:
            break
    return found


def _masked(node: ir.Node, found: _Scores) -> ir.Value | None:
    """Note the mask that ``node`` lays on the scores; returns the scores."""
    sides = (0, 1) if node.op_type == "Add" else (1, 2)
    place = next((i for i in sides if _scores(node.inputs[i]).product is not None), None)
    if place is None:
        return None
    other = node.inputs[sum(sides) - place]
    mask = node.inputs[0] if node.op_type == "Where" else other
    if mask is None or other is None:
        return None
    if node.op_type == "Add":
        found.masks.append(Mask(value=mask))
    else:
        fill = array_of(other)
        if fill is None or fill.size != 1 or float(fill.item()) > _HIDDEN:
            found.obstacle = "its mask does not hide a score but replaces it"
            return node.inputs[place]
        found.masks.append(Mask(value=mask, seen=place == 1, fill=float(fill.item())))
    return node.inputs[place]


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """The other factor and the number, if ``node`` multiplies or divides by one number."""
    if node.op_type not in ("Mul", "Div"):
        return None
    for place in (1, 0) if node.op_type == "Mul" else (1,):
        array, other = array_of(node.inputs[place]), node.inputs[1 - place]
        if array is not None and array.size == 1 and other is not None and float(array.item()):
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
    return Projection(x=x, w=np.asarray(w, dtype=np.float32), b=bias, result=result, node=node)
