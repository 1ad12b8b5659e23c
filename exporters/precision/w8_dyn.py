"""``w8-dyn``: int8 weights, activations quantized as they come; for products, attention and recurrent layers.

Never for a convolution: ``ConvInteger`` has measured four times slower than float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph, array_of, attribute
from edgehybrid.exporters.precision.integers import Float32Array, quantize_per_channel
from edgehybrid.exporters.precision.recurrent import hoist_projection, integer_lstm
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting
from edgehybrid.exporters.skip import Skip

Convert = Callable[[Editor, ir.Node, Setting], str | None]
MIN_WEIGHTS = 1024
"""Below it, finding the range of the activations costs more than the product."""


@dataclass(frozen=True, slots=True)
class DynamicInt8:
    """``y = (q(x)·q(w))·scale``: one fused node for each product; the scale of ``x`` is found at run time."""

    name: ClassVar[str] = "w8-dyn"
    needs_ranges: ClassVar[bool] = False

    def converters(self) -> Mapping[str, Convert]:
        """By operator, what converts a node or says why it cannot."""
        return _CONVERT

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:
        """Convert the products, attention nodes and recurrent layers among ``nodes``."""
        converters = self.converters()
        model = graph.edit()
        editor = Editor(model)
        touched, skipped = set(), []
        for node in list(model.graph):
            if node.name not in nodes:
                continue
            convert = converters.get(node.op_type)
            why = "no int8 kernel with dynamic range" if convert is None else convert(editor, node, setting)
            if why is None:
                touched.add(str(node.name))
            elif convert is not None or node.op_type in _WORTH_A_WORD:
                skipped.append(Skip(where=str(node.name), why=why))
        if not touched:
            return SchemeResult(graph=graph, touched=frozenset(), skipped=tuple(skipped))
        editor.close()
        return SchemeResult(graph=Graph.of(model), touched=frozenset(touched), skipped=tuple(skipped))


_WORTH_A_WORD = frozenset({"Conv", "ConvTranspose", "MultiHeadAttention"})


def matrix(value: ir.Value | None) -> Float32Array | None:
    """The constant float32 matrix behind ``value``, if it is one and large enough to pay."""
    array = array_of(value)
    if array is None or array.dtype != np.float32 or array.ndim != 2 or array.size < MIN_WEIGHTS:
        return None
    return np.asarray(array, dtype=np.float32)


def _matmul(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    w = matrix(node.inputs[1])
    if w is None:
        return "its second factor is no constant float matrix of at least 1,024 weights"
    output, bias = node.outputs[0], None
    users = [user for user, _ in output.uses()]
    if len(users) == 1 and users[0].op_type == "Add" and not output.is_graph_output():
        addend = next((value for value in users[0].inputs if value is not output), None)
        array = array_of(addend)
        if array is not None and array.shape == (w.shape[1],):
            output, bias = users[0].outputs[0], addend
    _product(editor, node, w, bias, output, setting)
    return None


def _gemm(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    w = matrix(node.inputs[1])
    if w is None or attribute(node, "transA", 0):
        return "its second factor is no constant float matrix of at least 1,024 weights"
    w = w.T if attribute(node, "transB", 0) else w
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = array_of(bias)
    if bias is not None and (array is None or array.shape != (w.shape[1],)):
        return "its addend is no vector"
    if attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return "it scales its product"
    _product(editor, node, w, bias, node.outputs[0], setting)
    return None


def _product(
    editor: Editor, node: ir.Node, w: Float32Array, bias: ir.Value | None, output: ir.Value, setting: Setting
) -> None:
    q, scale = quantize_per_channel(w, axis=1, limit=setting.target.weight_max)
    inputs = [
        node.inputs[0],
        editor.weight(f"{node.name}_w8", q),
        editor.weight(f"{node.name}_scale", scale),
        None,
        bias,
    ]
    new = editor.node(node, "DynamicQuantizeMatMul", inputs, name=f"{node.name}_dyn", domain=MICROSOFT)
    editor.supplant(output, new.outputs[0])


def _attention(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    w = matrix(node.inputs[1])
    if w is None:
        return "its weights are no constant float matrix of at least 1,024 weights"
    if why := attention_obstacle(node, w):
        return why
    quantized = editor.node(node, "DynamicQuantizeLinear", [node.inputs[0]], name=f"{node.name}_q", outputs=3)
    integer_attention(editor, node, w, tuple(quantized.outputs), setting)
    return None


def attention_obstacle(node: ir.Node, w: Float32Array) -> str | None:
    """Say why this float ``Attention`` has no int8 twin."""
    heads = attribute(node, "num_heads", 1)
    natural = (w.shape[1] // 3 // heads) ** -0.5
    if not np.isclose(attribute(node, "scale", 0.0) or natural, natural, rtol=1e-4):
        return "its scale is not 1/√(head size), which int8 attention assumes"
    if any(value is not None for value in node.inputs[3:]):
        return "it has a mask or a cache"
    return None


def integer_attention(
    editor: Editor, node: ir.Node, w: Float32Array, x: tuple[ir.Value, ...], setting: Setting
) -> None:
    """Replace ``node`` by ``QAttention`` on ``x``: integers, their scale, their zero point."""
    q, scale = quantize_per_channel(w, axis=1, limit=setting.target.weight_max)
    zero = editor.weight(f"{node.name}_zero", np.zeros(w.shape[1], dtype=np.int8))
    inputs = [
        x[0],
        editor.weight(f"{node.name}_w8", q),
        node.inputs[2],
        x[1],
        editor.weight(f"{node.name}_scale", scale),
    ]
    inputs += [None, x[2], zero]
    heads = attribute(node, "num_heads", 1)
    new = editor.node(node, "QAttention", inputs, name=f"{node.name}_int8", domain=MICROSOFT, num_heads=heads)
    editor.supplant(node.outputs[0], new.outputs[0])


_CONVERT: Mapping[str, Convert] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Attention": _attention,
    "LSTM": integer_lstm,
    "GRU": hoist_projection,
    "RNN": hoist_projection,
}
