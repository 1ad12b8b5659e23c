"""A transposition that ONNX Runtime would do number by number becomes two that it does fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph
from edgehybrid.exporters.rewrites.merge_layout import Digits, Shapes, chain_shapes, chains_of, read_chain
from edgehybrid.exporters.rewrites.move_cost import NODE_NS, second_ns, transpose_ns, two_steps
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.rewrites.static_shapes import constant_target
from edgehybrid.exporters.skip import Skip

Axes = list[list[int]]  # digits of each axis

_WORTH = 0.7  # of the old cost: what is estimated has to be clear


@dataclass(frozen=True, slots=True)
class SplitTranspose:
    """``transpose(x, 0·3·5·2·4·1)`` becomes "channels last", then whole blocks in another order.

    MobileViT's unfolding moves the channels and the halves of two other axes at once; for that ONNX Runtime has no
    kernel. Moved alone, the channels go fast, or not at all where a convolution has them last inside anyway: then ONNX
    Runtime cancels the two. *Measured*, 64 channels of 32 × 32: 194 µs became 26 µs.
    """

    name: ClassVar[str] = "split-transpose"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Rewrite each transposition that two are cheaper than; without probes nothing is done."""
        if not probes:
            return PassResult(graph=graph)
        model = graph.edit()
        chains = [c for c in chains_of(model.graph) if sum(node.op_type == "Transpose" for node in c) == 1]
        seen = [chain_shapes(graph, chains, feeds) for feeds in (probes.first, probes.second)]
        editor = Editor(model)
        applied, skipped = 0, []
        for chain in chains:
            why = _split(editor, chain, seen)
            applied += why is None
            if why:
                skipped.append(Skip(where=str(chain[0].name), why=why))
        if not applied:
            return PassResult(graph=graph, skipped=tuple(skipped))
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied, skipped=tuple(skipped))


def _split(editor: Editor, chain: list[ir.Node], seen: list[Shapes]) -> str | None:
    """Write ``chain`` with two transpositions; returns why not, empty if one is cheap enough."""
    first, second = (read_chain(chain, shapes) for shapes in seen)
    source, output = chain[0].inputs[0], chain[-1].outputs[0]
    if first is None or second is None or source is None or first[1] != second[1]:
        return ""  # the rule that merges says so
    lengths, order = first
    between = two_steps(lengths, order)
    if not between:
        return ""
    old = transpose_ns(lengths, order)
    new = transpose_ns(lengths, between[0]) + second_ns(lengths, between[0], order) + 2 * NODE_NS
    if new > _WORTH * old:
        return "" if old < 4 * NODE_NS else "two transpositions would cost as much"
    ends = [(item[str(source.name)], item[str(output.name)]) for item in seen]
    ways = [_Way.of((first[0], second[0]), stop, order, ends) for stop in between]
    possible = [way for way in ways if way is not None]
    if not possible:
        return "more than one of its lengths varies with the batch"
    _write(editor, chain, max(possible, key=lambda way: way.channels))
    return None


@dataclass(frozen=True, slots=True)
class _Way:
    """Reshape targets (``None``: not needed) and transpositions in turn; ``channels``: steps that move axis 1 only."""

    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    channels: int

    @classmethod
    def of(
        cls,
        lengths: tuple[tuple[int, ...], tuple[int, ...]],
        between: tuple[int, ...],
        order: tuple[int, ...],
        ends: list[tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> _Way | None:
        """Write the way over ``between``, in the axes of source and result where they fit."""
        here = tuple(range(len(order)))
        nodes: list[tuple[str, tuple[int, ...]]] = []
        channels = 0
        now = [source for source, _ in ends]
        known = (_axes(lengths, here, now), None), (None, _axes(lengths, order, [target for _, target in ends]))
        for (start, end), (old, new) in zip(known, ((here, between), (between, order)), strict=True):
            axes, perm = _in_axes(start, end, old, new)
            shapes = [tuple(int(np.prod([item[d] for d in axis], dtype=int)) for axis in axes) for item in lengths]
            if shapes != now:
                target = _target(shapes)
                if target is None:
                    return None
                nodes.append(("Reshape", target))
            nodes.append(("Transpose", perm))
            channels += len(perm) > 2 and perm in (_channels_last(len(perm)), _channels_first(len(perm)))
            now = [tuple(shape[axis] for axis in perm) for shape in shapes]
        if now != [target for _, target in ends]:
            target = _target([target for _, target in ends])
            if target is None:
                return None
            nodes.append(("Reshape", target))
        return cls(tuple(nodes), channels)


def _target(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    found = constant_target(*(np.array(shape, dtype=np.int64) for shape in shapes))
    return None if found is None else tuple(int(n) for n in found)


def _channels_last(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank), 1)


def _channels_first(rank: int) -> tuple[int, ...]:
    return (0, rank - 1, *range(1, rank - 1))


def _axes(lengths: Sequence[Digits], order: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> Axes | None:
    """Which digits, laid out in ``order``, make up each axis of ``shapes``; ``None`` if an axis cuts a digit."""
    axes: Axes = []
    left = list(order)
    for place in range(len(shapes[0])):
        axis: list[int] = []
        while any(_size(item, axis) < shape[place] for item, shape in zip(lengths, shapes, strict=True)):
            if not left:
                return None
            axis.append(left.pop(0))
        if any(_size(item, axis) != shape[place] for item, shape in zip(lengths, shapes, strict=True)):
            return None
        axes.append(axis)
    return axes if not left else None


def _size(lengths: Digits, axis: Sequence[int]) -> int:
    return int(np.prod([lengths[digit] for digit in axis], dtype=int))


def _in_axes(
    start: Axes | None, end: Axes | None, old: Sequence[int], new: Sequence[int]
) -> tuple[Axes, tuple[int, ...]]:
    """Axes before a step, and its transposition: the axes at hand if no digit leaves its axis, else the coarsest."""
    for axes, order in ((start, new), (end, old)):
        if axes is not None and all(axes):
            there = sorted(axes, key=lambda axis: order.index(axis[0]))
            if [digit for axis in there for digit in axis] == list(order):
                before, after = (axes, there) if axes is start else (there, axes)
                perm = tuple(before.index(axis) for axis in after)
                if _one_axis(perm):
                    return before, perm
    runs: Axes = []
    for digit in old:
        place = new.index(digit)
        if runs and new.index(runs[-1][-1]) == place - 1:
            runs[-1].append(digit)
        else:
            runs.append([digit])
    after = sorted(runs, key=lambda run: new.index(run[0]))
    return runs, tuple(runs.index(run) for run in after)


def _one_axis(perm: tuple[int, ...]) -> bool:
    """Whether only one axis moves: that is what the kernel for it looks for."""
    for axis in range(len(perm)):
        rest = [other for other in perm if other != axis]
        if rest == sorted(rest):
            return True
    return False


def _write(editor: Editor, chain: list[ir.Node], way: _Way) -> None:
    name, value, anchor = str(chain[-1].name), chain[0].inputs[0], chain[-1]
    anchor.name = f"{name}_gone"
    new = anchor
    for op, numbers in way.nodes:
        if op == "Reshape":
            target = editor.weight(f"{name}_shape", np.array(numbers, dtype=np.int64))
            new = editor.node(anchor, op, [value, target], name=f"{name}_reshape")
        else:
            new = editor.node(anchor, op, [value], name=f"{name}_transpose", perm=list(numbers))
        value = new.outputs[0]
    new.name = name
    if value is not None:
        editor.supplant(anchor.outputs[0], value)
