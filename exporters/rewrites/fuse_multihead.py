"""Attention with a mask, or between two inputs, becomes one ``com.microsoft.MultiHeadAttention`` node.

The projections stay products of their own, so that every precision for products serves them; those that read one
result are sorted by head and stay one product. Queries, keys and values that come from no product (normalized or
turned head by head) are handed over as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph
from edgehybrid.exporters.rewrites.attention_layout import Heads, Role, find_heads, find_output
from edgehybrid.exporters.rewrites.attention_mask import find_shapes, make_bias
from edgehybrid.exporters.rewrites.attention_parts import Parts
from edgehybrid.exporters.rewrites.fuse_attention import (
    batch_first,
    free_name,
    fuse_blocks,
    give,
    packed,
    rows_to_sequence,
)
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes

_SPLIT_BY_INPUT = 13  # the operator set from which lengths are an input


@dataclass(frozen=True, slots=True)
class FuseMultiHead:
    """``softmax(q·kᵀ·scale + mask)·v`` becomes one node on sequences of vectors; the projections stay."""

    name: ClassVar[str] = "fuse-multihead"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Fuse every block that ``fuse-attention`` has left; a near miss is skipped with its reason."""
        return fuse_blocks(graph, probes, _fuse)


def _fuse(graph: Graph, model: ir.Model, parts: Parts, probes: Probes) -> str | None:
    heads = find_heads(graph, parts, probes)
    if isinstance(heads, str):
        return heads
    output = find_output(graph, parts, heads, probes)
    if isinstance(output, str):
        return output
    shapes = find_shapes(graph, parts, heads, probes)
    if shapes.why:
        return shapes.why
    editor = Editor(model)
    bias = make_bias(editor, parts, heads, shapes)
    if isinstance(bias, str):
        return bias
    if heads.roles is None and heads.folded:
        return heads.why
    if heads.roles is None:
        operands, scale = _as_they_are(editor, parts, heads), parts.inner
    else:
        operands, scale = _from_projections(editor, parts, heads, heads.roles), parts.scale
    inputs = [*operands, *([None, None, bias.value] if bias.value is not None else [])]
    name = free_name(parts)
    options: dict[str, Any] = {"num_heads": heads.count, "scale": float(scale)}
    fused = editor.node(parts.anchor, "MultiHeadAttention", inputs, name=f"{name}_fused", domain=MICROSOFT, **options)
    fused.name = name  # its place in the user's graph is known by this name
    y = fused.outputs[0]
    if bias.sees is not None:
        zero = editor.weight("attention_nothing", np.array(0.0, dtype=np.float32))
        y = editor.node(parts.anchor, "Where", [bias.sees, y, zero], name=f"{name}_sees").outputs[0]
    give(editor, y, output, heads, parts)
    editor.close()
    return None


def _as_they_are(editor: Editor, parts: Parts, heads: Heads) -> list[ir.Value | None]:
    """Queries with their heads joined; keys and values with their heads apart, which the node takes too."""
    name = parts.middle.name
    q, k, v = parts.operands
    q = editor.node(parts.anchor, "Transpose", [q], name=f"{name}_q", perm=[0, 2, 1, 3]).outputs[0]
    shape = editor.weight("attention_shape", np.array([-1, heads.length, heads.width], dtype=np.int64))
    q = editor.node(parts.anchor, "Reshape", [q, shape], name=f"{name}_q_whole").outputs[0]
    if parts.turned:
        k = editor.node(parts.anchor, "Transpose", [k], name=f"{name}_k", perm=[0, 1, 3, 2]).outputs[0]
    return [q, k, v]


def _from_projections(
    editor: Editor, parts: Parts, heads: Heads, roles: tuple[Role, Role, Role]
) -> list[ir.Value | None]:
    """Sequences of vectors, each sorted by head, from the projections or from sorted ones in their place."""
    lengths = (heads.length, heads.other, heads.other)
    made: dict[int, ir.Value] = {}
    for first in range(3):
        result = roles[first].projection.result
        group = [i for i in range(first, 3) if i not in made and roles[i].projection.result is result]
        if first in made or not group:
            continue
        role, width = roles[first], roles[first].projection.w.shape[1]
        if len(group) == 1 and role.columns == tuple(range(width)):
            rank = 3 if role.input_rank == 3 else 2
            made[first] = rows_to_sequence(editor, parts, result, role, lengths[first], rank, width)
        else:
            values = _sorted(editor, parts, tuple(roles[i] for i in group), lengths[first])
            made.update(zip(group, values, strict=True))
    return [made[i] for i in range(3)]


def _sorted(editor: Editor, parts: Parts, roles: tuple[Role, ...], length: int) -> list[ir.Value]:
    """One product in place of the projection, its columns sorted by head, then cut."""
    name = str(roles[0].projection.node.name)
    x = batch_first(editor, parts, roles[0], length)
    w, b = packed(roles)
    roles[0].projection.node.name = f"{name}_gone"
    product = editor.node(parts.anchor, "MatMul", [x, editor.weight(f"{name}_w", w)], name=f"{name}_sorted")
    product.name = name  # its place in the user's graph is known by this name
    y = product.outputs[0]
    if roles[0].projection.b is not None:
        y = editor.node(parts.anchor, "Add", [y, editor.weight(f"{name}_b", b)], name=f"{name}_bias").outputs[0]
    if len(roles) == 1:
        return [y]
    widths = [len(role.columns) for role in roles]
    old = editor.graph.opset_imports.get("", 13) < _SPLIT_BY_INPUT
    lengths = [] if old else [editor.weight("attention_widths", np.array(widths, dtype=np.int64))]
    more: dict[str, Any] = {"split": widths} if old else {}
    cut = editor.node(parts.anchor, "Split", [y, *lengths], name=f"{name}_cut", outputs=len(roles), axis=2, **more)
    return list(cut.outputs)
