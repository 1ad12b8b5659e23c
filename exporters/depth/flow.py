"""Who makes and who reads which value, and which values a later stage can simply compute again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx

from edgehybrid.exporters.model import bodies, inner_nodes

_SHAPE_READERS = frozenset({"Shape", "Size"})


@dataclass(frozen=True)  # without slots: the tables are computed once
class Flow:
    """The data flow of a graph: values by name, nodes by position; the graph is in topological order."""

    graph: onnx.GraphProto

    @cached_property
    def weights(self) -> frozenset[str]:
        """Names of the initializers, sparse ones too."""
        sparse = (tensor.values.name for tensor in self.graph.sparse_initializer)
        return frozenset(tensor.name for tensor in self.graph.initializer) | frozenset(sparse)

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs that a caller gives."""
        return frozenset(value.name for value in self.graph.input) - self.weights

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs."""
        return frozenset(value.name for value in self.graph.output)

    @cached_property
    def makers(self) -> Mapping[str, int]:
        """Value to the position of the node that makes it."""
        return {name: index for index, node in enumerate(self.graph.node) for name in node.output if name}

    @cached_property
    def reads(self) -> tuple[tuple[str, ...], ...]:
        """Values that each node reads, those that the graphs inside of it take from outside included."""
        known = self.makers.keys() | self.inputs | self.weights
        return tuple(tuple(dict.fromkeys(name for name in _read(node) if name in known)) for node in self.graph.node)

    @cached_property
    def readers(self) -> Mapping[str, tuple[int, ...]]:
        """Value to the positions of the nodes that read it."""
        found: dict[str, list[int]] = {}
        for index, names in enumerate(self.reads):
            for name in names:
                found.setdefault(name, []).append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    @cached_property
    def free(self) -> frozenset[str]:
        """Values that hang on no number that is given: constants, and what follows from the shapes of the inputs."""
        known = set(self.weights)
        for node, names in zip(self.graph.node, self.reads, strict=True):
            of_inputs = node.op_type in _SHAPE_READERS and set(names) <= self.inputs
            if (of_inputs or known.issuperset(names)) and "Random" not in node.op_type and not any(bodies(node)):
                known.update(name for name in node.output if name)
        return frozenset(known)

    def above(self, names: Iterable[str], stop: Iterable[str] = ()) -> frozenset[int]:
        """Positions of the nodes that ``names`` are computed by, up to the values ``stop``."""
        stops = set(stop)
        seen: set[int] = set()
        todo = [name for name in names if name not in stops]
        while todo:
            index = self.makers.get(todo.pop())
            if index is not None and index not in seen:
                seen.add(index)
                todo.extend(name for name in self.reads[index] if name not in stops)
        return frozenset(seen)

    def inputs_of(self, nodes: Iterable[int]) -> frozenset[str]:
        """Values that ``nodes`` read and do not make."""
        chosen = set(nodes)
        made = {name for index in chosen for name in self.graph.node[index].output}
        return frozenset(name for index in chosen for name in self.reads[index] if name not in made)


def _read(node: onnx.NodeProto) -> Iterable[str]:
    yield from node.input
    for part in (node, *inner_nodes(node)):
        if part is not node:
            yield from part.input
        for body in bodies(part):
            yield from (value.name for value in body.output)
