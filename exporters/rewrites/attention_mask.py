"""The masks of an attention block as one sum on the scores, ``[1 or batch, 1 or heads, length, other]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import Editor, Graph, array_of, trace
from edgehybrid.exporters.rewrites.attention_layout import Heads
from edgehybrid.exporters.rewrites.attention_parts import Mask, Parts
from edgehybrid.exporters.rewrites.protocol import Probes

Array = NDArray[np.generic]
LOWEST = np.array(-1e30, dtype=np.float32)  # hides a score; finite, so that a row that sees nothing gives no NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """``value`` is added to the scores; ``sees`` says of each row whether it sees anything, if that matters."""

    value: ir.Value | None
    sees: ir.Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Shapes of the masks, each as on the first probe with ``None`` where the batch is, or why they do not fit."""

    masks: tuple[tuple[int | None, ...], ...]
    why: str | None = None


def find_shapes(graph: Graph, parts: Parts, heads: Heads, probes: Probes) -> Shapes:
    """Look whether every mask spreads over the scores as the fused node spreads it."""
    found: list[tuple[int | None, ...]] = []
    for mask in parts.masks:
        pair = [_shape(graph, mask.value, feeds) for feeds in (probes.first, probes.second)]
        if pair[0] is None or pair[1] is None or len(pair[0]) != len(pair[1]) or len(pair[0]) > 4:
            return Shapes(masks=(), why="its mask has no shape of scores")
        shape = tuple(a if a == b else None for a, b in zip(*pair, strict=True))
        padded = (1,) * (4 - len(shape)) + shape
        allowed = ((None, 1), (1, heads.count), (1, heads.length), (1, heads.other))
        if any(axis not in lengths for axis, lengths in zip(padded, allowed, strict=True)):
            return Shapes(masks=(), why="its mask has no shape of scores")
        found.append(shape)
    moving = any(array_of(mask.value) is None for mask in parts.masks)
    if parts.guarded and moving and any(len(shape) > 2 and shape[-3] != 1 for shape in found):
        return Shapes(masks=(), why="a row may see nothing in one head and something in another")
    return Shapes(masks=tuple(found))


def _shape(graph: Graph, value: ir.Value, feeds: Mapping[str, Array]) -> tuple[int, ...] | None:
    known = array_of(value)
    if known is None:
        name = str(value.name)
        known = feeds[name] if name in feeds else trace(graph, feeds, [name]).get(name)
    return None if known is None else known.shape


def make_bias(editor: Editor, parts: Parts, heads: Heads, shapes: Shapes) -> Bias | str:
    """Add the nodes that make the sum; constants are summed here."""
    fixed = np.zeros((1, 1, heads.length, heads.other), dtype=np.float32)
    moving: list[ir.Value] = []
    if parts.causal:
        fixed += np.triu(np.full((heads.length, heads.other), LOWEST, dtype=np.float32), 1)
    for mask, shape in zip(parts.masks, shapes.masks, strict=True):
        array = array_of(mask.value)
        if array is None:
            moving.append(_full(editor, parts, _numbers(editor, parts, mask), shape, heads))
        else:
            added = array if mask.seen is None else np.where(array.astype(bool) == mask.seen, np.float32(0), LOWEST)
            fixed = np.maximum(fixed + added.astype(np.float32), LOWEST)
    if not moving:
        if fixed.max(axis=-1).min() <= LOWEST / 2:
            return "some of its rows see nothing"
        return Bias(value=editor.weight(f"{parts.middle.name}_bias", fixed) if fixed.any() else None)
    if fixed.any():
        moving.append(editor.weight(f"{parts.middle.name}_bias", fixed))
    total = moving[0]
    for other in moving[1:]:
        total = _node(editor, parts, "Add", total, other)
    if not parts.guarded:
        return Bias(value=total)
    most = _node(editor, parts, "TopK", total, editor.weight("attention_one", np.array([1], dtype=np.int64)))
    nothing = editor.weight("attention_nothing", np.array(-np.inf, dtype=np.float32))
    sees = _node(editor, parts, "Greater", most, nothing)
    total = _node(editor, parts, "Max", total, editor.weight("attention_lowest", LOWEST))
    rows = editor.weight("attention_rows", np.array([-1, heads.length, 1], dtype=np.int64))
    return Bias(value=total, sees=_node(editor, parts, "Reshape", sees, rows))


def _numbers(editor: Editor, parts: Parts, mask: Mask) -> ir.Value:
    if mask.seen is None:
        return mask.value
    fill = np.array(mask.fill if parts.guarded else LOWEST, dtype=np.float32)
    sides = [editor.weight("attention_seen", np.array(0.0, np.float32)), editor.weight("attention_hidden", fill)]
    return _node(editor, parts, "Where", mask.value, *(sides if mask.seen else reversed(sides)))


def _full(editor: Editor, parts: Parts, value: ir.Value, shape: tuple[int | None, ...], heads: Heads) -> ir.Value:
    """Four axes, the last two at full length: what the fused node takes."""
    if shape[-2:] != (heads.length, heads.other):
        target = np.array([1] * max(0, len(shape) - 2) + [heads.length, heads.other], dtype=np.int64)
        value = _node(editor, parts, "Expand", value, editor.weight("attention_full", target))
    if len(shape) < 4:
        target = np.array([1] * (4 - max(len(shape), 2)) + [-1 if n is None else n for n in shape[:-2]], dtype=np.int64)
        target = np.append(target, [heads.length, heads.other])
        value = _node(editor, parts, "Reshape", value, editor.weight("attention_four", target))
    return value


def _node(editor: Editor, parts: Parts, op: str, *inputs: ir.Value) -> ir.Value:
    name = f"{parts.middle.name}_{op.lower()}"
    outputs = 2 if op == "TopK" else 1
    return editor.node(parts.anchor, op, list(inputs), name=name, outputs=outputs).outputs[0]
