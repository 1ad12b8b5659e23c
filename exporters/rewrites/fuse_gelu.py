"""GELU, as exporters write it in five nodes, becomes one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph, array_of
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.skip import Skip


@dataclass(frozen=True, slots=True)
class FuseGelu:
    """``x·(1 + erf(x/√2))/2``, with the half at any of its three places, becomes ``com.microsoft.Gelu``."""

    name: ClassVar[str] = "fuse-gelu"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Fuse every one of them; another use of ``erf`` is left, with the reason."""
        model = graph.edit()
        editor = Editor(model)
        applied, skipped = 0, []
        for node in list(model.graph):
            if node.op_type != "Erf":
                continue
            found = _match(node)
            if isinstance(found, str):
                skipped.append(Skip(where=str(node.name), why=found))
                continue
            x, last = found
            name = str(node.name)
            node.name = f"{name}_gone"
            fused = editor.node(last, "Gelu", [x], name=f"{name}_gelu", domain=MICROSOFT)
            fused.name = name
            editor.supplant(last.outputs[0], fused.outputs[0])
            applied += 1
        if not applied:
            return PassResult(graph=graph, skipped=tuple(skipped))
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied, skipped=tuple(skipped))


def _match(erf: ir.Node) -> tuple[ir.Value, ir.Node] | str:
    """Return the input of the whole and its last node, or why it is no GELU."""
    scaled = _times(erf.inputs[0].producer() if erf.inputs[0] is not None else None)
    if scaled is None or not math.isclose(scaled[1], math.sqrt(0.5), rel_tol=1e-5):
        return "its argument is not x/√2"
    x = scaled[0]
    value, factor, seen_x = erf.outputs[0], 1.0, False
    plus = _only_user(value)
    if plus is None or plus.op_type != "Add" or not any(_number(v) == 1.0 for v in plus.inputs):
        return "nothing adds one to it"
    last, value = plus, plus.outputs[0]
    while not (seen_x and math.isclose(factor, 0.5, rel_tol=1e-6)):
        user = _only_user(value)
        if user is None or user.op_type not in ("Mul", "Div"):
            return "what follows is not half of its argument"
        other = user.inputs[1] if user.inputs[0] is value else user.inputs[0]
        step, uses_x = _step(user, other, x)
        if step is None or (uses_x and seen_x):
            return "what follows is not half of its argument"
        factor, seen_x = factor * step, seen_x or uses_x
        last, value = user, user.outputs[0]
    return x, last


def _step(user: ir.Node, other: ir.Value | None, x: ir.Value) -> tuple[float | None, bool]:
    """Factor that ``user`` brings in, and whether it brings in ``x``."""
    number = _number(other)
    if number is not None:
        return (number if user.op_type == "Mul" else 1.0 / number), False
    if user.op_type == "Div":
        return None, False
    if other is x:
        return 1.0, True
    scaled = _times(other.producer() if other is not None else None)
    return (scaled[1], True) if scaled is not None and scaled[0] is x else (None, False)


def _times(node: ir.Node | None) -> tuple[ir.Value, float] | None:
    """The value and the number, if ``node`` multiplies or divides a value by a number."""
    if node is None or node.op_type not in ("Mul", "Div"):
        return None
    for place in (1, 0) if node.op_type == "Mul" else (1,):
        number, value = _number(node.inputs[place]), node.inputs[1 - place]
        if number and value is not None and _number(value) is None:
            return value, number if node.op_type == "Mul" else 1.0 / number
    return None


def _number(value: ir.Value | None) -> float | None:
    array = array_of(value)
    return float(array.item()) if array is not None and array.size == 1 else None


def _only_user(value: ir.Value) -> ir.Node | None:
    users = [user for user, _ in value.uses()]
    return users[0] if len(users) == 1 and not value.is_graph_output() else None
