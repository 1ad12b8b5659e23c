"""Activations that exporters spell out in four to eight nodes become one.

They are not matched against known spellings: from the node in the middle, the graph around it is evaluated as a
function of one value on some points, and compared with the activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.skip import Skip

Float64Array = NDArray[np.float64]
_POINTS = np.linspace(-7.0, 7.0, 29)
_DEPTH = 8  # nodes from the middle up to the argument; down to the result, half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One operator in place of many: ``function`` is what it computes, ``middle`` the node that betrays it."""

    middle: frozenset[str]
    function: Callable[[Float64Array], Float64Array]
    op: str
    domain: str = ""
    opset: int = 1


def _tanh_gelu(x: Float64Array) -> Float64Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def _hard_swish(x: Float64Array) -> Float64Array:
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))


ACTIVATIONS = (
    Activation(middle=frozenset({"Tanh"}), function=_tanh_gelu, op="FastGelu", domain=MICROSOFT),
    Activation(middle=frozenset({"Clip", "HardSigmoid"}), function=_hard_swish, op="HardSwish", opset=14),
)


@dataclass(frozen=True, slots=True)
class FuseActivations:
    """GELU by ``tanh``, and HardSwish: one node each. SiLU is left: ONNX Runtime and the int8 schemes know its two."""

    name: ClassVar[str] = "fuse-activations"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Fuse each one that computes an activation of the table."""
        model = graph.edit()
        editor = Editor(model)
        applied, skipped = 0, []
        for node in list(model.graph):
            for kind in ACTIVATIONS:
                if node.op_type not in kind.middle or (found := _match(node, kind)) is None:
                    continue
                if kind.opset > editor.graph.opset_imports.get("", 1):
                    skipped.append(Skip(where=str(node.name), why=f"{kind.op} needs operator set {kind.opset}"))
                    continue
                x, last = found
                name = str(node.name)
                node.name = f"{name}_gone"
                fused = editor.node(last, kind.op, [x], name=f"{name}_fused", domain=kind.domain)
                fused.name = name  # its place in the user's graph is known by this name
                editor.supplant(last.outputs[0], fused.outputs[0])
                applied += 1
        if not applied:
            return PassResult(graph=graph, skipped=tuple(skipped))
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied, skipped=tuple(skipped))


def _match(middle: ir.Node, kind: Activation) -> tuple[ir.Value, ir.Node] | None:
    """The argument and the last node of the activation around ``middle``."""
    expected = kind.function(_POINTS)
    for x in _above(middle.inputs[0]):
        last = middle
        for _ in range(_DEPTH // 2):
            got = _evaluate(last.outputs[0], x, 2 * _DEPTH)
            if got is None:
                break
            if last is not middle and np.allclose(got, expected, rtol=1e-4, atol=1e-5):
                return x, last
            users = [user for user, _ in last.outputs[0].uses()]
            if len(users) != 1 or last.outputs[0].is_graph_output():
                break
            last = users[0]
    return None


def _above(value: ir.Value | None) -> list[ir.Value]:
    """Values that ``value`` is computed from, nearest first."""
    found: dict[ir.Value, None] = {}
    level = [value]
    for _ in range(_DEPTH):
        found.update((item, None) for item in level if item is not None and array_of(item) is None)
        nodes = [item.producer() for item in level if item is not None]
        level = [item for node in nodes if node is not None and node.op_type in _COMPUTE for item in node.inputs]
    return list(found)


def _evaluate(value: ir.Value | None, x: ir.Value, depth: int) -> Float64Array | None:
    """``value`` as a function of ``x`` on the points; ``None`` if it is not one."""
    if value is x:
        return _POINTS
    array = array_of(value)
    if array is not None:
        return np.asarray(array, dtype=np.float64).reshape(-1) if array.size == 1 else None
    node = value.producer() if value is not None else None
    compute = _COMPUTE.get(node.op_type) if node is not None else None
    if node is None or compute is None or depth == 0:
        return None
    inputs = [_evaluate(item, x, depth - 1) for item in node.inputs if item is not None]
    known = [item for item in inputs if item is not None]
    if len(known) != len(node.inputs):
        return None
    with np.errstate(all="ignore"):
        return compute(node, *known)


_COMPUTE: Mapping[str, Callable[..., Float64Array]] = {
    "Mul": lambda _, a, b: a * b,
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Div": lambda _, a, b: a / b,
    "Pow": lambda _, a, b: a**b,
    "Tanh": lambda _, a: np.tanh(a),
    "Clip": lambda _, a, low=-np.inf, high=np.inf: np.clip(a, low, high),
    "HardSigmoid": lambda node, a: np.clip(attribute(node, "alpha", 0.2) * a + attribute(node, "beta", 0.5), 0, 1),
}
