"""``w8``: weights are int8 on disk and float when they compute; for recurrent layers above all.

``Cast`` and ``Mul`` on constants, not ``DequantizeLinear``: ONNX Runtime folds the first pair away when it loads the
model, so that a run costs what float costs; it never folds the second, which then runs at every inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of
from edgehybrid.exporters.precision.integers import quantize_per_channel
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting
from edgehybrid.exporters.skip import Skip

_WEIGHTS = {  # operator to (input, channel axis); an axis counted from the end would differ with transposition
    "GRU": ((1, 1), (2, 1)),
    "LSTM": ((1, 1), (2, 1)),
    "RNN": ((1, 1), (2, 1)),
    "MatMul": ((1, -1),),
    "Gemm": ((1, -1),),
    "Attention": ((1, -1),),
    "Conv": ((1, 0),),
}
MIN_WEIGHTS = 1024


@dataclass(frozen=True, slots=True)
class StoredInt8:
    """``w = Cast(q)·scale``, per channel; a quarter of the bytes, the speed of float."""

    name: ClassVar[str] = "w8"
    needs_ranges: ClassVar[bool] = False

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:  # noqa: ARG002  # protocol
        """Shrink the weights that the named ``nodes`` read."""
        model = graph.edit()
        editor = Editor(model)
        touched: set[str] = set()
        skipped: list[Skip] = []
        made: dict[ir.Value, ir.Value] = {}
        for node in list(model.graph):
            if node.name not in nodes or node.op_type not in _WEIGHTS:
                continue
            done = [shrink(editor, node, index, axis, made) for index, axis in _WEIGHTS[node.op_type]]
            if any(done):
                touched.add(str(node.name))
            else:
                skipped.append(Skip(where=str(node.name), why="its weights are no float constants of at least 1,024"))
        if not touched:
            return SchemeResult(graph=graph, touched=frozenset(), skipped=tuple(skipped))
        editor.close()
        return SchemeResult(graph=Graph.of(model), touched=frozenset(touched), skipped=tuple(skipped))


def shrink(editor: Editor, node: ir.Node, index: int, axis: int, made: dict[ir.Value, ir.Value]) -> bool:
    """Store input ``index`` of ``node`` as int8, one scale per ``axis``; returns whether that was possible.

    ``made`` remembers what is stored already, for weights that several nodes read.
    """
    value = node.inputs[index]
    array = array_of(value)
    if value is None or array is None or array.dtype != np.float32 or array.size < MIN_WEIGHTS:
        return False
    if value not in made:
        w = np.asarray(array, dtype=np.float32)
        directions = w if w.ndim == 3 and axis == 1 else w[None]
        if w.ndim == 3 and axis == 1:  # one scale per direction and row
            parts = [quantize_per_channel(part, axis=0) for part in directions]
            q, scale = np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts])[:, :, None]
        else:
            q, flat = quantize_per_channel(w, axis=axis)
            shape = [1] * w.ndim
            shape[axis] = -1
            scale = flat.reshape(shape)
        wide = editor.node(
            node, "Cast", [editor.weight(f"{value.name}_w8", q)], name=f"{value.name}_cast", to=int(ir.DataType.FLOAT)
        )
        inputs = [wide.outputs[0], editor.weight(f"{value.name}_w8_scale", scale)]
        made[value] = editor.node(node, "Mul", inputs, name=f"{value.name}_scaled").outputs[0]
    node.replace_input_with(index, made[value])
    return True
