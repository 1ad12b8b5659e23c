"""What a rewrite is: a value whose fields are its options; its result says what it left alone, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.skip import Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Inputs on which a rewrite may try the graph: two sets, whose free axes differ in length."""

    first: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    second: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.first) and bool(self.second)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """``graph`` is the very same object when ``applied`` is zero."""

    graph: Graph
    applied: int = 0
    skipped: tuple[Skip, ...] = ()


class Pass(Protocol):
    """One rewrite."""

    name: ClassVar[str]

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Rewrite wherever it fits; ``probes`` may be empty."""
        ...
