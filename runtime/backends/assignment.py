"""What ran where: which nodes of a file a provider took, by the engine's own record, and when that is too little.

The limits are here and nowhere else. Every island costs the hand-over of its inputs and outputs, and the wait for
another processor; a rest on the CPU keeps both busy. Beyond these limits a point is not what its figures say any more:
it is refused, with the reason, instead of running slowly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

CPU = "CPU"

MAX_ISLANDS = 4
"""Most pieces of a file that one provider may take."""

MAX_CPU_SHARE = 0.3
"""Largest share of the nodes that may stay on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Where the nodes of a loaded file run.

    Attributes:
        provider: Who was asked to take them.
        nodes: Provider to number of nodes, as the engine recorded it; ``CPU`` is the engine's own.
        islands: Pieces of the graph that ``provider`` took, each entered and left once per run; ``None`` where the
            engine hands nodes over one by one and does not tell how they hang together.
        left: Kinds of nodes that stayed on the CPU, the most frequent first.
    """

    provider: str
    nodes: Mapping[str, int]
    islands: int | None = None
    left: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All nodes."""
        return sum(self.nodes.values())

    @property
    def cpu_share(self) -> float:
        """Share of the nodes that stayed on the CPU, 0 to 1; 0 for a file without nodes."""
        return self.nodes.get(CPU, 0) / self.total if self.total else 0.0

    @property
    def transfers(self) -> int | None:
        """How often a run changes the processor, at least: into every island and out again."""
        if self.provider == CPU:
            return 0
        return None if self.islands is None else 2 * self.islands

    def describe(self) -> str:
        """Say it in words: ``OpenVINO 28 of 29 nodes in 2 islands; on the CPU: TreeEnsembleRegressor``."""
        if self.provider == CPU:
            return f"{CPU} {self.total} of {self.total} nodes"
        pieces = "" if self.islands is None else f" in {self.islands} island{'' if self.islands == 1 else 's'}"
        rest = f"; on the CPU: {', '.join(self.left)}" if self.left else ""
        return f"{self.provider} {self.nodes.get(self.provider, 0)} of {self.total} nodes{pieces}{rest}"


@runtime_checkable
class Placed(Protocol):
    """A session that can prove where it runs."""

    @property
    def assignment(self) -> Assignment | None:
        """Where its nodes run; ``None`` where the engine does not tell."""
        ...


def assignment_of(session: object) -> Assignment | None:
    """Return where ``session`` runs; ``None`` where nobody can tell."""
    return session.assignment if isinstance(session, Placed) else None


def refusal(found: Assignment) -> str | None:
    """Say why a file that was taken apart so should not run so; ``None`` when it may."""
    if found.provider == CPU:
        return None
    if not found.nodes.get(found.provider):
        return f"{found.provider} took none of its {found.total} nodes"
    if found.islands is not None and found.islands > MAX_ISLANDS:
        return f"it falls apart: {found.describe()}; at most {MAX_ISLANDS} islands are allowed"
    if found.cpu_share > MAX_CPU_SHARE:
        return (
            f"{found.cpu_share:.0%} of its nodes stay on the CPU, at most {MAX_CPU_SHARE:.0%} may: {found.describe()}"
        )
    return None


def from_subgraphs(
    provider: str, ep: str, subgraphs: Sequence[tuple[str, Sequence[str]]], *, compiles: bool
) -> Assignment:
    """Make an assignment of ONNX Runtime's record.

    Args:
        provider: What we call it.
        ep: What ONNX Runtime calls it.
        subgraphs: Execution provider and the operators of each piece that was assigned.
        compiles: Whether it takes whole pieces; else it takes nodes one by one, and pieces say nothing.
    """
    nodes: Counter[str] = Counter()
    left: Counter[str] = Counter()
    islands = 0
    for owner, operators in subgraphs:
        nodes[provider if owner == ep else CPU] += len(operators)
        if owner == ep:
            islands += 1
        else:
            left.update(operators)
    names = tuple(name for name, _ in left.most_common(4))
    return Assignment(
        provider=provider,
        nodes=dict(nodes),
        islands=islands if compiles and provider != CPU else None,
        left=() if provider == CPU else names,
    )


def from_delegated(provider: str, operators: Sequence[Mapping[str, Any]]) -> Assignment:
    """Make an assignment of LiteRT's list of operators, in which a ``DELEGATE`` stands beside those that it replaced.

    What it took is followed back from the tensors that it writes to those that it reads.
    """
    own = [op for op in operators if op["op_name"] != "DELEGATE"]
    taken = [op for op in operators if op["op_name"] == "DELEGATE"]
    makers = {int(tensor): index for index, op in enumerate(own) for tensor in op["outputs"]}
    gone: set[int] = set()
    for island in taken:
        stop = {int(tensor) for tensor in island["inputs"]}
        todo = [int(tensor) for tensor in island["outputs"]]
        while todo:
            tensor = todo.pop()
            index = makers.get(tensor)
            if index is None or tensor in stop or index in gone:
                continue
            gone.add(index)
            todo += [int(read) for read in own[index]["inputs"]]
    left = Counter(op["op_name"] for index, op in enumerate(own) if index not in gone)
    nodes = {provider: len(gone), CPU: len(own) - len(gone)}
    return Assignment(
        provider=provider,
        nodes={name: count for name, count in nodes.items() if count},
        islands=len(taken),
        left=tuple(name for name, _ in left.most_common(4)),
    )
