"""Self-attention, as exporters write it in a dozen nodes, becomes one ``com.microsoft`` attention node.

Which number of the projection ends in which head is not matched against known patterns but *found by trying*: the
projection is replaced by counting numbers, and the graph itself says where they go. So every chain of reshapes,
transpositions, slices, gathers and splits is understood, whichever exporter made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph
from edgehybrid.exporters.rewrites.attention_layout import Heads, Output, find_heads, find_output
from edgehybrid.exporters.rewrites.attention_parts import Parts, Projection, find_parts
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.skip import Skip

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FuseAttention:
    """``softmax(q·kᵀ·scale)·v`` with its projection becomes one node on ``[batch, length, features]``."""

    name: ClassVar[str] = "fuse-attention"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Fuse every block that is self-attention without a mask; a near miss is skipped with its reason."""
        applied = 0
        skipped: list[Skip] = []
        tried: set[str] = set()
        while True:
            model = graph.edit()
            softmax = next((n for n in model.graph if n.op_type == "Softmax" and n.name not in tried), None)
            if softmax is None:
                return PassResult(graph=graph, applied=applied, skipped=tuple(skipped))
            tried.add(str(softmax.name))
            parts = find_parts(softmax)
            if parts is None:
                continue  # a softmax, but no attention
            if (why := _fuse(graph, model, parts, probes)) is None:
                graph, applied = Graph.of(model), applied + 1
            else:
                skipped.append(Skip(where=str(softmax.name), why=why))


def _fuse(graph: Graph, model: ir.Model, parts: Parts | str, probes: Probes) -> str | None:
    if isinstance(parts, str):
        return parts
    if not probes:
        return "more than the batch is free, so that its layout cannot be tried"
    if len({projection.x for projection in parts.projections}) != 1:
        return "queries, keys and values come from different inputs"
    heads = find_heads(graph, parts, probes)
    if isinstance(heads, str):
        return heads
    output = find_output(graph, parts, heads, probes)
    if isinstance(output, str):
        return output
    editor = Editor(model)
    x = _batch_first(editor, parts, heads)
    if x is None:
        return "its input is no sequence of vectors"
    weights = [_columns(p, order) for p, order in zip(parts.projections, heads.columns, strict=True)]
    w = np.concatenate([pair[0] for pair in weights], axis=1)
    b = np.concatenate([pair[1] for pair in weights])
    name = str(parts.softmax.name)
    parts.softmax.name = f"{name}_gone"
    inputs = [x, editor.weight(f"{name}_w", w), editor.weight(f"{name}_b", b)]
    options: dict[str, Any] = {"num_heads": heads.count, "scale": float(parts.scale)}
    fused = editor.node(parts.anchor, "Attention", inputs, name=f"{name}_fused", domain=MICROSOFT, **options)
    fused.name = name  # its place in the user's graph is known by this name
    _give(editor, fused.outputs[0], output, heads, parts)
    editor.close()
    return None


def _columns(projection: Projection, order: NDArray[np.int64]) -> tuple[Float32Array, Float32Array]:
    """Weights and bias of one projection, sorted by head."""
    w, b = projection.w[:, order], projection.b
    return w, np.zeros(len(order), dtype=np.float32) if b is None else b[order]


def _batch_first(editor: Editor, parts: Parts, heads: Heads) -> ir.Value | None:
    """The input of the projection as ``[batch, length, features]``."""
    x = parts.projections[0].x
    features = parts.projections[0].w.shape[0]
    if heads.input_rank == 2:
        target = [-1, heads.length, features] if heads.batch_first else [heads.length, -1, features]
        shape = editor.weight("attention_shape", np.array(target, dtype=np.int64))
        x = editor.node(parts.anchor, "Reshape", [x, shape], name=f"{parts.softmax.name}_rows").outputs[0]
    elif heads.input_rank != 3:
        return None
    if heads.batch_first:
        return x
    return editor.node(parts.anchor, "Transpose", [x], name=f"{parts.softmax.name}_in", perm=[1, 0, 2]).outputs[0]


def _give(editor: Editor, y: ir.Value, output: Output, heads: Heads, parts: Parts) -> None:
    """Hand ``y`` (batch first) to who read the old result, in the layout that they expect."""
    if not output.batch_first:
        y = editor.node(parts.anchor, "Transpose", [y], name=f"{parts.softmax.name}_out", perm=[1, 0, 2]).outputs[0]
    if output.rank == 2:
        shape = editor.weight("attention_shape", np.array([-1, heads.width], dtype=np.int64))
        y = editor.node(parts.anchor, "Reshape", [y, shape], name=f"{parts.softmax.name}_flat").outputs[0]
    editor.supplant(output.value, y)
