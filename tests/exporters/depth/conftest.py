"""Models that can be cut, their variants, and a chain that runs as the engine runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgehybrid.exporters.depth import FoundCuts, find_cuts
from edgehybrid.exporters.model import Graph, find_components, open_session
from edgehybrid.exporters.precision import Setting, collect_ranges, quantize, watched
from edgehybrid.exporters.rewrites import Probes, rewrite

Array = NDArray[np.generic]
FAMILIES = ("convolution", "attention", "dense", "recurrent", "trees")


class Chains:
    """Makes variants of a graph and runs chains of stages."""

    def __init__(self, zoo: Any) -> None:
        self.zoo = zoo

    def deep(self, kind: str, seed: int = 0) -> Graph:
        """A graph of one family with places to cut, or the hybrid: ``x`` to ``y``."""
        s = self.zoo.sketch(seed)
        match kind:
            case "conv":
                y = "x"
                for width, channels in ((3, 8), (8, 8), (8, 16)):
                    y = s.op("Conv", y, s.weight(channels, width, 3, 3, scale=0.3), s.weight(channels), pads=[1] * 4)
                    y = self.zoo.activation(s, y, ("silu", "relu", "")[seed % 3])
                    z = s.op("Conv", y, s.weight(channels, channels, 1, 1, scale=0.3), s.weight(channels))
                    y = s.op("Add", y, self.zoo.activation(s, z, "silu"))
                y = s.op("Flatten", s.op("GlobalAveragePool", y))
                return self._close(s, s.op("Gemm", y, s.weight(16, 5), s.weight(5)), [3, 8, 8], [5])
            case "attention":
                y = "x"
                for _ in range(2):
                    y = s.op("Add", y, self.zoo.attend(s, y, 2, 8, "packed", 8**-0.5))
                return self._close(s, s.op("ReduceMean", y, s.ints(1), keepdims=0), [6, 32], [32])
            case "dense":
                y = "x"
                for _ in range(3):
                    y = s.op("Relu", s.op("Add", s.op("MatMul", y, s.weight(32, 32, scale=0.3)), s.weight(32)))
                return self._close(s, s.op("Gemm", y, s.weight(32, 5), s.weight(5)), [32], [5])
            case "recurrent":
                y = "x"
                for layer, cell in enumerate(("GRU", "LSTM") if seed % 2 else ("LSTM", "GRU")):
                    gates, width = (3 if cell == "GRU" else 4), (32, 16)[layer]
                    weights = [s.weight(1, gates * 16, width, scale=0.2), s.weight(1, gates * 16, 16, scale=0.2)]
                    weights.append(s.weight(1, 2 * gates * 16, scale=0.1))
                    more: dict[str, Any] = {"linear_before_reset": 1} if cell == "GRU" else {}
                    y = s.op(cell, s.op("Transpose", y, perm=[1, 0, 2]), *weights, hidden_size=16, **more)
                    y = s.op("Transpose", s.op("Squeeze", y, s.ints(1)), perm=[1, 0, 2])
                return self._close(s, s.op("ReduceMean", y, s.ints(1), keepdims=0), [6, 32], [16])
            case _:
                graph = getattr(self.zoo, kind)(seed)
                assert isinstance(graph, Graph)
                return graph

    def _close(self, s: Any, y: str, x: list[int], out: list[int]) -> Graph:
        graph = s.close(y, ["batch", *x], ["batch", *out])
        assert isinstance(graph, Graph)
        return graph

    def cuts(self, graph: Graph, probes: Probes | None = None) -> FoundCuts:
        """Cuts of ``graph``, with batches of noise as probes."""
        return find_cuts(graph, find_components(graph), probes or self.zoo.probes(graph))

    def variant(self, graph: Graph, scheme: str, *, fused: bool = False) -> Graph:
        """``graph`` in one precision, calibrated on noise."""
        base = rewrite(graph, self.zoo.probes(graph)).graph if fused else graph
        ranges = collect_ranges(base, watched(base), [self.zoo.feeds(base, 8, s) for s in range(2)])
        recipe = dict.fromkeys(FAMILIES, scheme)
        return quantize(base, find_components(graph), recipe, Setting(ranges=ranges)).graph

    def run(self, stages: Sequence[Graph], feeds: Mapping[str, Array], *, optimize: bool = True) -> dict[str, Array]:
        """Run the stages one after the other; returns all that they gave."""
        values = dict(feeds)
        for stage in stages:
            session = open_session(stage.proto, optimize=optimize)
            names = [value.name for value in session.get_outputs()]
            given = {value.name: values[value.name] for value in session.get_inputs()}
            values |= dict(zip(names, session.run(names, given), strict=True))
        return {name: array for name, array in values.items() if name not in feeds}


@pytest.fixture(scope="session")
def chains(zoo: Any) -> Chains:
    return Chains(zoo)
