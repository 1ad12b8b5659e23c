"""``w8a8``: int8 weights and activations with ranges from calibration, as QDQ pairs that ONNX Runtime fuses.

A convolution keeps its activation inside the integers, so that no float runs between two convolutions. A product
gets integer inputs and gives floats: what follows it (a bias, a residual, a softmax) wants the resolution. An LSTM
finds its ranges at run time: that is the only int8 kernel it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.precision.integers import SMALLEST, activation_params, quantize_per_channel
from edgehybrid.exporters.precision.recurrent import integer_lstm
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting
from edgehybrid.exporters.precision.silu import join_silu
from edgehybrid.exporters.precision.w8_dyn import attention_obstacle, integer_attention, matrix
from edgehybrid.exporters.skip import Skip

_FUSED_AFTER = frozenset({"Relu", "Clip"})
_BESIDE = frozenset(
    [
        "Sigmoid",
        "Mul",
        "QuickGelu",
        "Add",
        "LeakyRelu",
        "AveragePool",
        "GlobalAveragePool",
        "MaxPool",
        "Concat",
        "Relu",
        "Clip",
    ]
)
_WEIGHTED = frozenset({"Conv", "MatMul", "Gemm"})


@dataclass(frozen=True, slots=True)
class StaticInt8:
    """QDQ around convolutions with their activations; integer inputs for products and attention."""

    name: ClassVar[str] = "w8a8"
    needs_ranges: ClassVar[bool] = True
    throughout: ClassVar[bool] = False
    """Whether SiLU and depthwise convolutions compute in integers too."""

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:
        """Convert the convolutions, products and attention nodes among ``nodes``."""
        model = graph.edit()
        editor = Editor(model)
        if not self.throughout:
            join_silu(editor, nodes)
        inside = _beside_convolutions(model.graph, nodes, depthwise=self.throughout)
        work = _Work(editor, setting, inside, depthwise=self.throughout)
        for node in list(model.graph):
            if node.name in nodes:
                work.convert(node)
        if not work.touched:
            return SchemeResult(graph=graph, touched=frozenset(), skipped=tuple(work.skipped))
        work.editor.close()
        return SchemeResult(graph=Graph.of(model), touched=frozenset(work.touched), skipped=tuple(work.skipped))


def watched(graph: Graph) -> tuple[str, ...]:
    """Values whose ranges the scheme may ask for: activations beside a convolution, product or attention."""
    model = graph.edit()
    names: dict[str, None] = {}
    for node in model.graph:
        if node.op_type in _WEIGHTED | _BESIDE | {"Attention"}:
            for value in (*node.inputs, *node.outputs):
                if value is not None and array_of(value) is None and value.dtype in (None, ir.DataType.FLOAT):
                    names[str(value.name)] = None
    return tuple(names)


def _depthwise(node: ir.Node) -> bool:
    """Whether a convolution reads one channel for each that it gives.

    It computes too little for each number to pay for integers around it: in float a camera classifier with four of
    them measured 1.02 times as fast and 2.3 dB likelier to float. The same for the first convolution on one channel
    made a keyword spotter 1.06 times as fast but cost 3 to 6 dB, so that only depthwise ones stay. Where SiLU computes
    in integers too there are no conversions around it: that is ``w8a8-int``.
    """
    w = array_of(node.inputs[1])
    return w is not None and w.shape[1] == 1 and int(attribute(node, "group", 1)) == w.shape[0] > 1


def _beside_convolutions(graph: ir.Graph, nodes: frozenset[str], *, depthwise: bool) -> set[ir.Node]:
    """Activations, residual sums and pools that stay in integers because all their data comes from convolutions."""
    inside: set[ir.Node] = set()
    for node in graph:
        if node.name not in nodes:
            continue
        if node.op_type == "Conv":
            if array_of(node.inputs[1]) is not None and (depthwise or not _depthwise(node)):
                inside.add(node)
        elif node.op_type in _BESIDE:
            data = [value for value in node.inputs if value is not None and array_of(value) is None]
            if data and all(value.producer() in inside for value in data):
                inside.add(node)
    return inside


class _Work:
    """One conversion: remembers which values have their integers already."""

    def __init__(self, editor: Editor, setting: Setting, inside: set[ir.Node], *, depthwise: bool) -> None:
        self.editor, self.setting, self.inside, self.depthwise = editor, setting, inside, depthwise
        self.touched: set[str] = set()
        self.skipped: list[Skip] = []
        self._integers: dict[ir.Value, ir.Value] = {}
        self._scales: dict[ir.Value, np.float32] = {}

    def convert(self, node: ir.Node) -> None:
        """Convert one node, or note why not."""
        why: str | None
        match node.op_type:
            case "Conv" | "ConvTranspose":
                why = self._conv(node)
            case "MatMul" | "Gemm":
                why = self._product(node)
            case "Attention":
                why = self._attention(node)
            case "LSTM":
                why = integer_lstm(self.editor, node, self.setting)
            case _ if node in self.inside:
                why = self._beside(node)
            case "GRU" | "RNN" | "MultiHeadAttention" | "Einsum":
                why = "no int8 kernel with fixed ranges"
            case _:
                return
        if why is None:
            self.touched.add(str(node.name))
        else:
            self.skipped.append(Skip(where=str(node.name), why=why))

    def _range(self, value: ir.Value) -> tuple[float, float] | None:
        return self.setting.ranges.get(str(_origin(value).name).removesuffix("_before"))

    def _conv(self, node: ir.Node) -> str | None:
        w = array_of(node.inputs[1])
        if node.op_type != "Conv":
            return "ONNX Runtime has no int8 kernel for a transposed convolution on the CPU"
        if w is None or w.dtype != np.float32:
            return "its weights are no float constants"
        if _depthwise(node) and not self.depthwise:
            return "a depthwise convolution computes less than the conversions around it would cost"
        x = node.inputs[0]
        if x is None or (integer := self._as_integer(x, node)) is None or self._range(node.outputs[0]) is None:
            return "no range was seen for it in calibration"
        self._weights(node, np.asarray(w, dtype=np.float32), 0, self._scales[x])
        node.replace_input_with(0, integer)
        self._output(node)
        return None

    def _product(self, node: ir.Node) -> str | None:
        w, x = matrix(node.inputs[1]), node.inputs[0]
        if w is None or x is None or attribute(node, "transA", 0):
            return "its second factor is no constant float matrix of at least 1,024 weights"
        if (integer := self._as_integer(x, node)) is None:
            return "no range was seen for it in calibration"
        axis = 0 if attribute(node, "transB", 0) else 1
        if node.op_type == "Gemm" and attribute(node, "alpha", 1.0) * attribute(node, "beta", 1.0) != 1.0:
            return "it scales its product"
        self._weights(node, w, axis, self._scales[x])
        node.replace_input_with(0, integer)
        return None

    def _attention(self, node: ir.Node) -> str | None:
        w, x = matrix(node.inputs[1]), node.inputs[0]
        if w is None or x is None:
            return "its weights are no constant float matrix of at least 1,024 weights"
        if why := attention_obstacle(node, w):
            return why
        span = self._range(x)
        if span is None:
            return "no range was seen for it in calibration"
        scale, zero = activation_params(*span, signed=False)  # the kernel's own kind
        params = [self.editor.weight(f"{x.name}_scale", np.asarray(scale)), self.editor.weight(f"{x.name}_zero", zero)]
        quantized = self.editor.node(node, "QuantizeLinear", [x, *params], name=f"{node.name}_q")
        integer_attention(self.editor, node, w, (quantized.outputs[0], *params), self.setting)
        return None

    def _beside(self, node: ir.Node) -> str | None:
        data = [value for value in node.inputs if value is not None and array_of(value) is None]
        fixed = [value for value in node.inputs if value is not None and array_of(value) is not None]
        if node.op_type in ("Mul", "Add") and fixed:
            return "one side is a constant"
        if self._range(node.outputs[0]) is None or any(self._range(value) is None for value in data):
            return "no range was seen for it in calibration"
        for value in data:
            if node.op_type in _FUSED_AFTER and value not in self._integers:
                continue  # the convolution gives floats to it, and fusion takes both
            integer = self._as_integer(value, node)
            for index, item in enumerate(node.inputs):
                if item is value and integer is not None:
                    node.replace_input_with(index, integer)
        self._output(node)
        return None

    def _output(self, node: ir.Node) -> None:
        """Put integers behind ``node``, unless an activation that fusion takes in follows."""
        output = node.outputs[0]
        users = [user for user, _ in output.uses()]
        if len(users) == 1 and users[0].op_type in _FUSED_AFTER and users[0] in self.inside:
            return
        if output.is_graph_output() or not users:
            return
        after = next((follower for follower in self.editor.graph if follower in users), users[0])
        integer = self._as_integer(output, after)
        if integer is None:
            return
        quantize = integer.producer().inputs[0].producer()  # type: ignore[union-attr]  # made just now
        for user, index in list(output.uses()):
            if user is not quantize:
                user.replace_input_with(index, integer)

    def _as_integer(self, value: ir.Value, before: ir.Node) -> ir.Value | None:
        """``value`` after quantizing and dequantizing, made once."""
        for known in (value, _origin(value)):
            if known in self._integers:
                return self._integers[known]
        if (pair := _pair_at(value)) is not None:  # another scheme's, on the other side of a border
            self._integers[value] = self._integers[pair[0]] = pair[0]
            self._scales[value] = self._scales[pair[0]] = pair[1]
            return pair[0]
        if (span := self._range(value)) is None:
            return None
        scale, zero = activation_params(*span, signed=self.setting.target.signed_activations)
        params = [
            self.editor.weight(f"{value.name}_scale", np.asarray(scale)),
            self.editor.weight(f"{value.name}_zero", zero),
        ]
        quantize = self.editor.node(before, "QuantizeLinear", [value, *params], name=f"{value.name}_q")
        back = self.editor.node(before, "DequantizeLinear", [quantize.outputs[0], *params], name=f"{value.name}_dq")
        self._integers[value] = back.outputs[0]
        self._integers[back.outputs[0]] = back.outputs[0]
        self._scales[value] = self._scales[back.outputs[0]] = scale
        return back.outputs[0]

    def _weights(
        self, node: ir.Node, w: np.ndarray[tuple[int, ...], np.dtype[np.float32]], axis: int, x: np.float32
    ) -> None:
        q, scale = quantize_per_channel(w, axis=axis, limit=self.setting.target.weight_max)
        zero = self.editor.weight(f"{node.name}_zero", np.zeros(scale.shape, dtype=np.int8))
        inputs = [self.editor.weight(f"{node.name}_w8", q), self.editor.weight(f"{node.name}_scale", scale), zero]
        back = self.editor.node(node, "DequantizeLinear", inputs, name=f"{node.name}_w_dq", axis=axis)
        node.replace_input_with(1, back.outputs[0])
        bias = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
        if bias is not None and bias.shape == scale.shape:
            step = np.maximum(scale * x, np.float32(SMALLEST)).astype(np.float32)
            whole = np.clip(np.rint(bias / step), -(2**31) + 1, 2**31 - 1).astype(np.int32)
            inputs = [self.editor.weight(f"{node.name}_b32", whole), self.editor.weight(f"{node.name}_b_scale", step)]
            inputs.append(self.editor.weight(f"{node.name}_b_zero", np.zeros(scale.shape, dtype=np.int32)))
            back = self.editor.node(node, "DequantizeLinear", inputs, name=f"{node.name}_b_dq", axis=0)
            node.replace_input_with(2, back.outputs[0])


def _pair_at(value: ir.Value) -> tuple[ir.Value, np.float32] | None:
    """What a QDQ pair gives of ``value``, with its scale, where the pair ends in it or alone reads it."""
    users = [user for user, _ in value.uses()]
    back = value.producer()
    if len(users) == 1 and users[0].op_type == "QuantizeLinear":
        readers = [user for user, _ in users[0].outputs[0].uses()]
        back = readers[0] if len(readers) == 1 else None
    elif _origin(value) is value:
        return None
    scale = array_of(back.inputs[1]) if back is not None and back.op_type == "DequantizeLinear" else None
    return None if back is None or scale is None or scale.size != 1 else (back.outputs[0], np.float32(scale.item()))


def _origin(value: ir.Value) -> ir.Value:
    """The value that a QDQ pair stands for."""
    back = value.producer()
    if back is None or back.op_type != "DequantizeLinear" or back.inputs[0] is None:
        return value
    quantize = back.inputs[0].producer()
    if quantize is None or quantize.op_type != "QuantizeLinear" or quantize.inputs[0] is None:
        return value
    return quantize.inputs[0]
