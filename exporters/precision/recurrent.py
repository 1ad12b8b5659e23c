"""Recurrent layers in integers.

An LSTM has an int8 kernel, ``DynamicQuantizeLSTM``: it measured 1.2 to 2.5 times as fast as float, the more the wider
the layer. A GRU or RNN has none, and a loop of integer products costs more than it saves (0.16 to 0.97 of the speed of
float, as a ``Scan``). But their largest product, input by weights for all steps at once, can be taken out of the
recurrence: ``GRU(x, W, R, b)`` is ``GRU(x·W, identity, R, b)``. It measured 1.1 to 1.9 times as fast where the input is
wide beside the state, as behind flattened convolutions; where it is not, the identity costs more than integers save.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import MICROSOFT, Editor, array_of, attribute
from edgehybrid.exporters.precision.integers import Float32Array, quantize_per_channel
from edgehybrid.exporters.precision.scheme import Setting
from edgehybrid.exporters.precision.w8_storage import shrink

MIN_INPUT = 512
"""Narrowest input whose product is worth taking out."""

_TIMES_WIDER = {"GRU": 2.0, "RNN": 6.0}  # than gates times directions times state, so that the identity pays


def integer_lstm(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    """Replace an ``LSTM`` by ``DynamicQuantizeLSTM``; returns why not, if it cannot be."""
    weights = [array_of(value) for value in node.inputs[1:3]]
    if any(array is None or array.dtype != np.float32 for array in weights):
        return "its weights are no constants"
    if attribute(node, "layout", 0):
        return "it is batch-first"
    padded = [*node.inputs, *([None] * 8)][:8]
    integers: list[ir.Value | None] = []
    scales: list[ir.Value | None] = []
    for array, letter in zip(weights, "wr", strict=True):
        # int8 LSTM wants (directions, input, 4·hidden), one scale per direction and output
        turned = np.asarray(array, dtype=np.float32).transpose(0, 2, 1)
        parts = [quantize_per_channel(part, axis=1, limit=setting.target.weight_max) for part in turned]
        scale = np.stack([part[1] for part in parts])
        integers.append(editor.weight(f"{node.name}_{letter}8", np.stack([part[0] for part in parts])))
        scales.append(editor.weight(f"{node.name}_{letter}_scale", scale))
        scales.append(editor.weight(f"{node.name}_{letter}_zero", np.zeros(scale.shape, dtype=np.int8)))
    inputs = [padded[0], *integers, *padded[3:8], *scales]
    kept = {name: item.value for name, item in node.attributes.items() if name != "layout"}
    new = editor.node(
        node,
        "DynamicQuantizeLSTM",
        inputs,
        name=f"{node.name}_dyn",
        domain=MICROSOFT,
        outputs=len(node.outputs),
        **kept,
    )
    for old, value in zip(node.outputs, new.outputs, strict=True):
        editor.supplant(old, value)
    return None


def hoist_projection(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    """Take the input product out of a ``GRU`` or ``RNN``, in int8; returns why not, if it cannot be or does not pay."""
    w = array_of(node.inputs[1])
    if w is None or w.dtype != np.float32:
        return "its weights are no constants"
    if attribute(node, "layout", 0):
        return "it is batch-first"
    outputs = w.shape[0] * w.shape[1]
    if w.shape[2] < max(MIN_INPUT, _TIMES_WIDER[node.op_type] * outputs):
        return f"no int8 kernel, and its input of {w.shape[2]} is too narrow to take the product out"
    flat: Float32Array = np.asarray(w, dtype=np.float32).reshape(outputs, -1).T
    q, scale = quantize_per_channel(flat, axis=1, limit=setting.target.weight_max)
    inputs = [node.inputs[0], editor.weight(f"{node.name}_w8", q), editor.weight(f"{node.name}_scale", scale)]
    product = editor.node(node, "DynamicQuantizeMatMul", inputs, name=f"{node.name}_input", domain=MICROSOFT)
    eye = editor.weight(f"{node.name}_eye", np.eye(outputs, dtype=np.int8).reshape(*w.shape[:2], outputs))
    wide = editor.node(node, "Cast", [eye], name=f"{node.name}_eye_cast", to=int(ir.DataType.FLOAT))
    node.replace_input_with(0, product.outputs[0])
    node.replace_input_with(1, wide.outputs[0])
    shrink(editor, node, 2, 1, {})
    return None
