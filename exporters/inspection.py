"""What an inspection of a model tells, as values; importing them needs nothing of the ``[export]`` extra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.bundle import ComponentInfo
from edgehybrid.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A node that computes nothing, and between what it stands.

    Attributes:
        node: Its name in the user's graph, or ONNX Runtime's for one that it added.
        op: Operator as ONNX Runtime ran it.
        time_share: Share of the time, 0 to 1.
        before: The nearest node of the user's graph above that computes; ``input`` if there is none.
        after: The nearest below; ``output`` if there is none.
    """

    node: str
    op: str
    time_share: float
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """Time of moving data between two families, or inside of one; ``input`` and ``output`` are the model's ends."""

    before: str
    after: str
    time_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """A model seen from outside: interface, components, cost, and where its time goes.

    Attributes:
        name: Of the file.
        opset: Of the default domain.
        inputs: What it takes.
        outputs: What it gives.
        components: Its regions, each of one family, with their cost.
        nodes: All nodes, those inside of branches and loops included.
        params: Numbers in its weights.
        macs: Multiply-accumulates of one run with ``lengths``.
        bytes_moved: Bytes that the nodes of each component read and write in that run, before any fusion; in the
            order of ``components``; empty if nothing ran.
        size_bytes: Of the graph with its weights.
        lengths: How long the free axes were in the run that was measured; none are free, or none ran, if empty.
        time_by_op: Operator, after the fusions of ONNX Runtime, to its share of the time, 0 to 1.
        no_arithmetic_share: Share of the time in which data is only moved, copied or converted.
        unknown_share: Share of the time that no node of the graph owns.
        moves: The dearest nodes that compute nothing; ``before`` and ``after`` are components.
        borders: Where all moves stand, by families, dearest first.
        note: Why costs and times are missing, if they are.
    """

    name: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    components: tuple[ComponentInfo, ...]
    nodes: int
    params: int
    macs: int
    bytes_moved: tuple[int, ...] = ()
    size_bytes: int
    lengths: Mapping[str, int] = field(default_factory=dict)
    time_by_op: Mapping[str, float]
    no_arithmetic_share: float | None
    unknown_share: float | None
    moves: tuple[Move, ...] = ()
    borders: tuple[Border, ...] = ()
    note: str = ""
