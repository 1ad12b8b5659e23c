"""``w8-dyn-mha`` and ``w8-dyn-k2``: as ``w8-dyn``, with the projections of attention outside of it.

``QAttention`` keeps all scores of a layer in memory: 4 MB for 4 heads in 4 groups of 256 tokens. ``w8-dyn-mha`` has
three integer products that share one quantization, then ``MultiHeadAttention``, which takes the scores block by block.
*Measured* on the camera classifier (Sapphire Rapids, one thread): 1.11 times as fast where something else ran between
two inferences, 0.97 times where nothing did; on the keyword spotter, with 48 tokens, 0.96 times in both.

``w8-dyn-k2`` halves the scores as well: each query reads keys and values averaged over pairs of neighbouring tokens. So
do pyramid vision transformers (Wang et al. 2021), which are trained for it; here it is an approximation, good where
neighbours are alike, and the search measures what it costs. Averaging and projecting are linear: the averaged keys are
one product with pairs of tokens as rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import MICROSOFT, Editor, array_of, attribute
from edgehybrid.exporters.precision.integers import Float32Array, quantize_per_channel
from edgehybrid.exporters.precision.scheme import Setting
from edgehybrid.exporters.precision.w8_dyn import Convert, DynamicInt8, matrix

MIN_TOKENS = 32
"""Below it the scores are too few for their half to matter."""


@dataclass(frozen=True, slots=True)
class SeparateProjections(DynamicInt8):
    """Float attention behind three dynamic int8 products; everything else as ``w8-dyn``."""

    name: ClassVar[str] = "w8-dyn-mha"

    def converters(self) -> Mapping[str, Convert]:
        """Those of ``w8-dyn``, with another one for attention."""
        return {**DynamicInt8.converters(self), "Attention": _separate}


@dataclass(frozen=True, slots=True)
class CoarseKeys(DynamicInt8):
    """Keys and values averaged over pairs of neighbouring tokens; everything else as ``w8-dyn``."""

    name: ClassVar[str] = "w8-dyn-k2"

    def converters(self) -> Mapping[str, Convert]:
        """Those of ``w8-dyn``, with another one for attention."""
        return {**DynamicInt8.converters(self), "Attention": _coarse}


def _separate(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    return _attend(editor, node, setting, every=1)


def _coarse(editor: Editor, node: ir.Node, setting: Setting) -> str | None:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    tokens = shape[1] if shape is not None and len(shape) == 3 else None
    if not isinstance(tokens, int) or tokens % 2 or tokens < MIN_TOKENS:
        return f"its tokens are not an even number that is known and at least {MIN_TOKENS}"
    return _attend(editor, node, setting, every=2)


def _attend(editor: Editor, node: ir.Node, setting: Setting, *, every: int) -> str | None:
    """Replace ``node``; keys and values are means of ``every`` neighbouring tokens."""
    w, bias = matrix(node.inputs[1]), array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if w is None or bias is None:
        return "its weights and bias are no constant floats, or fewer than 1,024"
    if any(value is not None for value in node.inputs[3:]) or attribute(node, "unidirectional", 0):
        return "it has a mask or a cache"
    if attribute(node, "qkv_hidden_sizes", None) is not None:
        return "its queries, keys and values differ in width"
    width, hidden, heads = w.shape[0], w.shape[1] // 3, int(attribute(node, "num_heads", 1))
    scale = float(attribute(node, "scale", 0.0)) or (hidden // heads) ** -0.5
    x = editor.node(node, "DynamicQuantizeLinear", [node.inputs[0]], name=f"{node.name}_q", outputs=3).outputs
    rows = x[0]
    if every > 1:
        target = editor.weight(f"{node.name}_pairs", np.array([0, -1, every * width], dtype=np.int64))
        rows = editor.node(node, "Reshape", [rows, target], name=f"{node.name}_neighbours").outputs[0]
    parts = []
    for index, name in enumerate(("query", "key", "value")):
        part = np.ascontiguousarray(w[:, index * hidden : (index + 1) * hidden])
        if index:
            part = np.concatenate([part / np.float32(every)] * every)
        own = np.asarray(bias[index * hidden : (index + 1) * hidden], dtype=np.float32)
        source = (rows if index else x[0], x[1], x[2])
        parts.append(_product(editor, node, source, part, own, name, setting))
    name = f"{node.name}_heads"
    new = editor.node(node, "MultiHeadAttention", parts, name=name, domain=MICROSOFT, num_heads=heads, scale=scale)
    editor.supplant(node.outputs[0], new.outputs[0])
    return None


def _product(
    editor: Editor,
    node: ir.Node,
    x: tuple[ir.Value, ir.Value, ir.Value],
    w: Float32Array,
    bias: Float32Array,
    name: str,
    setting: Setting,
) -> ir.Value:
    """``x·w + bias`` in floats, of integers ``x`` with scale and zero point."""
    q, scale = quantize_per_channel(w, axis=1, limit=setting.target.weight_max)
    own = f"{node.name}_{name}"
    inputs: list[ir.Value | None] = [x[0], editor.weight(f"{own}_w8", q), x[1], editor.weight(f"{own}_scale", scale)]
    inputs += [x[2], None, editor.weight(f"{own}_bias", bias)]
    return editor.node(node, "MatMulIntegerToFloat", inputs, name=own, domain=MICROSOFT).outputs[0]
