"""Self-attention, as exporters write it in a dozen nodes, becomes one ``com.microsoft`` attention node.

Which number of the projection ends in which head is not matched against known patterns but *found by trying*: the
projection is replaced by counting numbers, and the graph itself says where they go. So every chain of reshapes,
transpositions, slices, gathers and splits is understood, whichever exporter made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph
from edgehybrid.exporters.rewrites.attention_layout import Heads, Output, Role, find_heads, find_output
from edgehybrid.exporters.rewrites.attention_parts import Parts, find_parts
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.skip import Skip

Float32Array = NDArray[np.float32]
Fuse = Callable[[Graph, ir.Model, Parts, Probes], str | None]


@dataclass(frozen=True, slots=True)
class FuseAttention:
    """``softmax(q·kᵀ·scale)·v`` with its projection becomes one node on ``[batch, length, features]``."""

    name: ClassVar[str] = "fuse-attention"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Fuse every block that is self-attention without a mask; a near miss is skipped with its reason."""
        return fuse_blocks(graph, probes, _fuse)


def fuse_blocks(graph: Graph, probes: Probes, fuse: Fuse) -> PassResult:
    """Try ``fuse`` on a copy of the graph for every attention block; it returns why not, or ``None`` when it did."""
    applied = 0
    skipped: list[Skip] = []
    tried: set[str] = set()
    while True:
        model = graph.edit()
        todo = (n for n in model.graph if n.op_type in ("Softmax", "Attention") and n.name not in tried)
        middle = next(todo, None)
        if middle is None:
            return PassResult(graph=graph, applied=applied, skipped=tuple(skipped))
        tried.add(str(middle.name))
        parts = find_parts(middle)
        if parts is None:
            continue  # a softmax, but no attention
        if isinstance(parts, str):
            why: str | None = parts
        elif not probes:
            why = "more than the batch is free, so that its layout cannot be tried"
        else:
            why = fuse(graph, model, parts, probes)
        if why is None:
            graph, applied = Graph.of(model), applied + 1
        else:
            skipped.append(Skip(where=str(middle.name), why=why))


def _fuse(graph: Graph, model: ir.Model, parts: Parts, probes: Probes) -> str | None:
    if parts.masks or parts.causal:
        return "it has a mask or a position bias"
    heads = find_heads(graph, parts, probes)
    if isinstance(heads, str):
        return heads
    if heads.roles is None:
        return heads.why
    if why := _different(heads.roles, heads):
        return why
    output = find_output(graph, parts, heads, probes)
    if isinstance(output, str):
        return output
    editor = Editor(model)
    x = batch_first(editor, parts, heads.roles[0], heads.length)
    w, b = packed(heads.roles)
    name = free_name(parts)
    inputs = [x, editor.weight(f"{name}_w", w), editor.weight(f"{name}_b", b)]
    options: dict[str, Any] = {"num_heads": heads.count, "scale": float(parts.scale)}
    fused = editor.node(parts.anchor, "Attention", inputs, name=f"{name}_fused", domain=MICROSOFT, **options)
    fused.name = name  # its place in the user's graph is known by this name
    give(editor, fused.outputs[0], output, heads, parts)
    editor.close()
    return None


def _different(roles: tuple[Role, Role, Role], heads: Heads) -> str | None:
    """Why queries, keys and values are not cut alike from one input."""
    if len({role.projection.x for role in roles}) != 1:
        return "queries, keys and values come from different inputs"
    if len({role.batch_first for role in roles}) != 1:
        return "queries, keys and values differ in layout"
    if heads.width != heads.out_width:
        return "queries and values differ in width"
    return "queries and keys differ in length" if heads.length != heads.other else None


def packed(roles: tuple[Role, ...]) -> tuple[Float32Array, Float32Array]:
    """Weights and bias of these projections side by side, each sorted by head."""
    w = [role.projection.w[:, list(role.columns)] for role in roles]
    b = [
        np.zeros(len(role.columns), dtype=np.float32)
        if role.projection.b is None
        else role.projection.b[list(role.columns)]
        for role in roles
    ]
    return np.concatenate(w, axis=1), np.concatenate(b)


def free_name(parts: Parts) -> str:
    """The name of the block's middle, which the fused node takes over."""
    name = str(parts.middle.name)
    parts.middle.name = f"{name}_gone"
    return name


def batch_first(editor: Editor, parts: Parts, role: Role, length: int) -> ir.Value:
    """The input of the projection as ``[batch, length, features]``."""
    return rows_to_sequence(editor, parts, role.projection.x, role, length, role.input_rank, role.projection.w.shape[0])


def rows_to_sequence(
    editor: Editor, parts: Parts, x: ir.Value, role: Role, length: int, rank: int, features: int
) -> ir.Value:
    """Turn ``x``, whose rows run as those of ``role``, into ``[batch, length, features]``."""
    if rank == 2:
        target = [-1, length, features] if role.batch_first else [length, -1, features]
        shape = editor.weight("attention_shape", np.array(target, dtype=np.int64))
        x = editor.node(parts.anchor, "Reshape", [x, shape], name=f"{parts.middle.name}_rows").outputs[0]
    if role.batch_first:
        return x
    return editor.node(parts.anchor, "Transpose", [x], name=f"{parts.middle.name}_in", perm=[1, 0, 2]).outputs[0]


def give(editor: Editor, y: ir.Value, output: Output, heads: Heads, parts: Parts) -> None:
    """Hand ``y`` (batch first) to who read the old result, in the layout that they expect."""
    if not output.batch_first:
        y = editor.node(parts.anchor, "Transpose", [y], name=f"{parts.middle.name}_out", perm=[1, 0, 2]).outputs[0]
    if output.rank == 2:
        shape = editor.weight("attention_shape", np.array([-1, heads.out_width], dtype=np.int64))
        y = editor.node(parts.anchor, "Reshape", [y, shape], name=f"{parts.middle.name}_flat").outputs[0]
    editor.supplant(output.value, y)
