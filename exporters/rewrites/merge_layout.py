"""A chain of reshapes and transpositions becomes at most one transposition between two reshapes.

A transposition only permutes the digits of a position, once the axes are cut finely enough. So counting numbers are
sent through the chain, and the digits are read off the result: which lengths, in which order. MobileViT's unfolding
of a map into tokens (two transpositions, three reshapes) is one transposition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute, trace
from edgehybrid.exporters.rewrites.move_cost import NODE_NS, transpose_ns
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.rewrites.static_shapes import constant_target
from edgehybrid.exporters.skip import Skip

Array = NDArray[np.generic]
Shapes = Mapping[str, tuple[int, ...]]
Digits = tuple[int, ...]
MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})
_LARGEST = 2**22


@dataclass(frozen=True, slots=True)
class MergeLayout:
    """Chains that move numbers are read as one permutation, and written with as few nodes as it needs.

    Measured on a MobileViT-like classifier: unfold and fold are one transposition each instead of two.
    """

    name: ClassVar[str] = "merge-layout"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Rewrite each chain that gets shorter; without probes nothing is done."""
        if not probes:
            return PassResult(graph=graph)
        model = graph.edit()
        chains = [chain for chain in chains_of(model.graph) if len(chain) > 1]
        seen = [chain_shapes(graph, chains, feeds) for feeds in (probes.first, probes.second)]
        editor = Editor(model)
        applied, skipped = 0, []
        for chain in chains:
            why = _merge(editor, chain, seen)
            applied += why is None
            if why:
                skipped.append(Skip(where=str(chain[0].name), why=why))
        if not applied:
            return PassResult(graph=graph, skipped=tuple(skipped))
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied, skipped=tuple(skipped))


def chains_of(graph: ir.Graph) -> list[list[ir.Node]]:
    """Nodes that only move numbers, each the only reader of the one before it; in the graph's order."""
    return [chain for node in graph if (chain := _chain(node))]


def _chain(node: ir.Node) -> list[ir.Node]:
    """The chain that begins at ``node``; empty if an earlier one does."""
    if node.op_type not in MOVES or node.inputs[0] is None or array_of(node.inputs[0]) is not None:
        return []
    before = node.inputs[0].producer()
    if before is not None and before.op_type in MOVES and _only_user(before.outputs[0]) is node:
        return []
    chain = [node]
    while (after := _only_user(chain[-1].outputs[0])) is not None and after.op_type in MOVES:
        if after.inputs[0] is not chain[-1].outputs[0]:
            break
        chain.append(after)
    return chain


def _only_user(value: ir.Value) -> ir.Node | None:
    users = [user for user, _ in value.uses()]
    return users[0] if len(users) == 1 and not value.is_graph_output() else None


def chain_shapes(graph: Graph, chains: list[list[ir.Node]], feeds: Mapping[str, Array]) -> Shapes:
    """Shapes of every value in the ``chains`` for these inputs."""
    values = [value for chain in chains for node in chain for value in (node.inputs[0], node.outputs[0])]
    found = trace(graph, feeds, list(dict.fromkeys(str(value.name) for value in values if value is not None)))
    return {name: array.shape for name, array in {**feeds, **found}.items()}


def _merge(editor: Editor, chain: list[ir.Node], seen: list[Shapes]) -> str | None:
    """Write ``chain`` anew; returns why not, empty if it is as short as can be."""
    digits = [read_chain(chain, shapes) for shapes in seen]
    source, output = chain[0].inputs[0], chain[-1].outputs[0]
    first, second = digits
    if first is None or second is None or source is None:
        return "its order is no permutation of axes"
    if first[1] != second[1]:
        return "its order depends on the batch"
    order = first[1]
    inside = constant_target(np.array(first[0]), np.array(second[0]))
    shapes = [np.array(item[str(output.name)], dtype=np.int64) for item in seen]
    outside = constant_target(shapes[0], shapes[1])
    if inside is None or outside is None:
        return "more than one of its lengths varies with the batch"
    moves = order != tuple(range(len(order)))
    turned = [tuple(lengths[axis] for axis in order) for lengths, _ in digits if lengths]  # type: ignore[misc]
    before = moves and any(item[str(source.name)] != d[0] for item, d in zip(seen, (first, second), strict=True))
    after = any(item[str(output.name)] != lengths for item, lengths in zip(seen, turned, strict=True))
    if not moves:
        before, after = False, any(item[str(output.name)] != item[str(source.name)] for item in seen)
    new_ns = (before + moves + after) * NODE_NS + (transpose_ns(first[0], order) if moves else 0.0)
    if new_ns >= _chain_ns(chain, seen[0]):
        return ""
    if not (moves or before or after) and output.is_graph_output():
        return ""
    _write(editor, chain, inside if before else None, order if moves else None, outside if after else None)
    return None


def _chain_ns(chain: list[ir.Node], shapes: Shapes) -> float:
    """Estimated cost of ``chain`` as it stands: two fast transpositions may be cheaper than one."""
    total = len(chain) * NODE_NS
    for node in chain:
        if node.op_type == "Transpose" and node.inputs[0] is not None:
            lengths = shapes[str(node.inputs[0].name)]
            total += transpose_ns(lengths, attribute(node, "perm", tuple(range(len(lengths)))[::-1]))
    return total


def _write(
    editor: Editor,
    chain: list[ir.Node],
    inside: NDArray[np.int64] | None,
    order: tuple[int, ...] | None,
    outside: NDArray[np.int64] | None,
) -> None:
    name, value, anchor = str(chain[-1].name), chain[0].inputs[0], chain[-1]
    new: ir.Node | None = None
    anchor.name = f"{name}_gone"
    for step in (inside, order, outside):
        if step is None:
            continue
        if isinstance(step, tuple):
            new = editor.node(anchor, "Transpose", [value], name=f"{name}_transpose", perm=list(step))
        else:
            new = editor.node(anchor, "Reshape", [value, editor.weight(f"{name}_shape", step)], name=f"{name}_reshape")
        value = new.outputs[0]
    if new is not None:
        new.name = name
    if value is not None:
        editor.supplant(anchor.outputs[0], value)


def read_chain(chain: list[ir.Node], shapes: Shapes) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Lengths of the digits of a position in the source, and in which order the chain leaves them."""
    shape = shapes.get(str(chain[0].inputs[0].name)) if chain[0].inputs[0] is not None else None
    if shape is None or not 0 < np.prod(shape) <= _LARGEST:
        return None
    array = np.arange(np.prod(shape)).reshape(shape)
    for node in chain:
        if node.op_type == "Transpose":
            array = array.transpose(attribute(node, "perm", None))
        elif str(node.outputs[0].name) in shapes:
            array = array.reshape(shapes[str(node.outputs[0].name)])
        else:
            return None
    return read_digits(array.reshape(-1))


def read_digits(positions: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Read ``positions[i]``, a permutation, as the digits of ``i`` in another order.

    Returns:
        ``lengths`` of the digits in the source, and ``order``: ``arange(n).reshape(lengths).transpose(order)`` is
        ``positions``. ``None`` if no cut into digits gives it.
    """
    rest, runs = positions, list[tuple[int, int]]()  # stride in the source and length, innermost first
    while len(rest) > 1:
        stride = int(rest[1] - rest[0])
        breaks = np.flatnonzero(np.diff(rest) != stride)
        length = int(breaks[0]) + 1 if len(breaks) else len(rest)
        if length < 2 or len(rest) % length or stride < 1:
            return None
        runs.append((stride, length))
        rest = rest[::length]
    runs.reverse()
    sources = sorted(range(len(runs)), key=lambda i: -runs[i][0])
    lengths = tuple(runs[i][1] for i in sources)
    order = tuple(sources.index(i) for i in range(len(runs)))
    rebuilt = np.arange(len(positions)).reshape(lengths).transpose(order).reshape(-1)
    return (lengths, order) if np.array_equal(rebuilt, positions) else None
