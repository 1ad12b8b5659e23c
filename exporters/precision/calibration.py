"""Ranges of activations over a data set: streamed, so that memory does not grow with the number of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edgehybrid.errors import DataError
from edgehybrid.exporters.model import ORT_ERRORS, Graph, open_session
from edgehybrid.exporters.precision.clipping import Loss, clip, divergence, squared_error

BINS = 8192
MOST = 1 << 16
"""Values of a batch that the histogram takes in: of a larger one every second, third and so on, evenly spread."""
Method = Literal["minmax", "percentile", "entropy", "mse"]
_LOSSES: Mapping[Method, Loss] = {"entropy": divergence, "mse": squared_error}


class RangeCollector:
    """Smallest and largest value, and a histogram that widens by doubling, of one tensor.

    Minimum and maximum are exact. A percentile is off by at most the width of one bin (more in batches above ``MOST``).
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self._edge = 0.0  # the histogram covers [-edge, edge]
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._zeros = 0  # values seen while all of them were zero

    def add(self, values: NDArray[np.generic]) -> None:
        """Take in one batch; non-finite values count for nothing."""
        flat = values.ravel()
        flat = flat[np.isfinite(flat)]
        if not flat.size:
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        flat = flat[:: -(-flat.size // MOST)].astype(np.float64)
        reach = max(abs(self.low), abs(self.high))
        if reach > 0.0 and self._edge == 0.0:
            self._edge = float(
                2.0 ** np.ceil(np.log2(reach))
            )  # a power of two: the order of the batches does not matter
            self._counts[BINS // 2] += self._zeros
        while reach > self._edge > 0.0:
            self._widen()
        if self._edge == 0.0:
            self._zeros += flat.size
        else:
            self._counts += np.histogram(flat, bins=BINS, range=(-self._edge, self._edge))[0]

    def merge(self, other: RangeCollector) -> None:
        """Take in what ``other`` has seen."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        edge = max(self._edge, other._edge)
        for collector in (self, other):
            if collector._edge == 0.0 < edge:
                collector._edge = edge
                collector._counts[BINS // 2] += collector._zeros
                collector._zeros = 0
            while collector._edge < edge:
                collector._widen()
        self._counts = self._counts + other._counts
        self._zeros += other._zeros

    def _widen(self) -> None:
        half = self._counts.reshape(-1, 2).sum(axis=1)
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._counts[BINS // 4 : BINS // 4 + BINS // 2] = half
        self._edge *= 2.0

    def range(self, method: Method, share: float = 0.9999) -> tuple[float, float]:
        """The range that integers shall cover.

        Args:
            method: ``minmax``: everything seen. ``percentile``: what ``share`` of the values lie between. ``mse``:
                where the squared error of the integers is least. ``entropy``: where their distribution is most like
                that of the values (Kullback-Leibler).
            share: For ``percentile``.
        """
        if not np.isfinite(self.low):
            return 0.0, 0.0
        if method == "minmax" or self._edge == 0.0:
            return self.low, self.high
        if method in _LOSSES:
            return clip(self._counts, self._edge, self.low, self.high, _LOSSES[method])
        seen = np.cumsum(self._counts)
        tail = math.ceil((1.0 - share) / 2.0 * int(seen[-1]) - 1e-6)  # in values, so that no rounding shifts a bin
        edges = np.linspace(-self._edge, self._edge, BINS + 1)
        low = edges[int(np.searchsorted(seen, max(tail, 1)))]
        high = edges[int(np.searchsorted(seen, max(int(seen[-1]) - tail, 1))) + 1]
        return max(self.low, float(low)), min(self.high, float(high))


def collect_ranges(
    graph: Graph,
    names: Iterable[str],
    batches: Iterable[Mapping[str, NDArray[np.generic]]],
    *,
    method: Method = "minmax",
) -> dict[str, tuple[float, float]]:
    """Run ``graph`` over ``batches`` and return the range of each value in ``names``.

    Args:
        graph: A float graph.
        names: Values to watch: inputs of the graph, or outputs of its nodes.
        batches: Feeds; one batch is in memory at a time.
        method: See ``RangeCollector.range``.

    Raises:
        DataError: If a batch does not run.
    """
    return {name: found.range(method) for name, found in collect(graph, names, batches).items()}


def collect(
    graph: Graph, names: Iterable[str], batches: Iterable[Mapping[str, NDArray[np.generic]]]
) -> dict[str, RangeCollector]:
    """As ``collect_ranges``, for several methods in one pass: ask each collector for its ``range``."""
    wanted = tuple(dict.fromkeys(names))
    inputs = {value.name for value in graph.proto.graph.input}
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    made = [name for name in wanted if name not in inputs]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    collectors = {name: RangeCollector() for name in wanted}
    session = open_session(proto) if made else None
    for feeds in batches:
        try:
            results = session.run(made, dict(feeds)) if session is not None else []
        except ORT_ERRORS as error:
            raise DataError(
                f"The model does not run on the data: {error}.", "Check the shapes of the arrays."
            ) from error
        for name, array in [*zip(made, results, strict=True), *((n, feeds[n]) for n in wanted if n in feeds)]:
            collectors[name].add(array)
    return collectors
