"""``fp32``: leave it as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting


@dataclass(frozen=True, slots=True)
class Float32:
    """Float, as trained."""

    name: ClassVar[str] = "fp32"
    needs_ranges: ClassVar[bool] = False

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:  # noqa: ARG002  # protocol
        """Return ``graph`` itself."""
        return SchemeResult(graph=graph, touched=frozenset())
