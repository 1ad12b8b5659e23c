"""Win quality back: of several calibrations, with and without balancing and bias correction, keep the likest to float.

None of them wins everywhere, so all are tried: calibrated on two of three batches, judged on the third, because what
fits the data it was made from proves nothing. The winner is then made again from all of them. What it measured is in
``docs/decisions/0016-quality-is-won-back-by-trying.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.model import Component, Graph, open_session
from edgehybrid.exporters.precision.balance import balance
from edgehybrid.exporters.precision.bias import correct_bias
from edgehybrid.exporters.precision.calibration import Method, collect
from edgehybrid.exporters.precision.mixture import Quantized, quantize
from edgehybrid.exporters.precision.scheme import Ranges, Setting, Target
from edgehybrid.exporters.precision.w8a8 import watched

Feeds = Mapping[str, NDArray[np.generic]]
Batches = Callable[[], Iterable[Feeds]]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse")
"""Those that are tried; ``entropy`` never measured best."""

_JUDGED = 16  # batches that likeness is judged on
_EVERY = 3  # which batch judges


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A float graph (``balanced`` or as it was) and its ranges by method: of all data, and without what judges."""

    graph: Graph
    ranges: Mapping[Method, Ranges]
    rehearsal: Mapping[Method, Ranges]
    balanced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The likest to float, ``how`` it was made, and what each try reached on the batches that judge."""

    quantized: Quantized
    how: str
    sqnr_db: Mapping[str, float]


def calibrate(graph: Graph, batches: Batches, methods: Iterable[Method] = METHODS) -> tuple[Calibrated, ...]:
    """Calibrate ``graph``, and its balanced twin if it has one; one pass over the data for each."""
    todo = tuple(methods)
    balanced = balance(graph, batches())
    bases = (graph,) if balanced is graph else (graph, balanced)
    return tuple(_calibrated(base, batches, todo, balanced=base is not graph) for base in bases)


def _calibrated(graph: Graph, batches: Batches, methods: tuple[Method, ...], *, balanced: bool) -> Calibrated:
    names = watched(graph)
    some, rest = (collect(graph, names, part) for part in (_without(batches()), _judging(batches())))
    rehearsal = {method: {name: found.range(method) for name, found in some.items()} for method in methods}
    for name, found in some.items():
        found.merge(rest[name])
    ranges = {method: {name: found.range(method) for name, found in some.items()} for method in methods}
    return Calibrated(graph=graph, ranges=ranges, rehearsal=rehearsal, balanced=balanced)


def _without(batches: Iterable[Feeds]) -> Iterator[Feeds]:
    return (feeds for index, feeds in enumerate(batches) if index % _EVERY != _EVERY - 1)


def _judging(batches: Iterable[Feeds]) -> Iterator[Feeds]:
    return islice(batches, _EVERY - 1, None, _EVERY)


def quantize_best(
    calibrated: tuple[Calibrated, ...],
    components: tuple[Component, ...],
    recipe: Mapping[str, str],
    target: Target,
    batches: Batches,
) -> Recovered:
    """Quantize with every calibration, with and without bias correction; keep what is likest to float.

    Args:
        calibrated: From ``calibrate``; the first is the reference.
        components: See ``quantize``.
        recipe: See ``quantize``.
        target: See ``quantize``.
        batches: Calibration data; each call starts anew.
    """
    judge = _Judge(calibrated[0].graph, batches)
    tries: dict[str, float] = {}
    ways: dict[str, tuple[Calibrated, Method, bool]] = {}
    known: set[str] = set()
    for base in calibrated:
        for method, ranges in base.rehearsal.items():
            result = quantize(base.graph, components, recipe, Setting(target=target, ranges=ranges)).graph
            corrected = correct_bias(result, base.graph, lambda: _without(batches()))
            for graph, bias in ((result, False), (corrected, True)):
                if graph.digest in known:
                    continue
                known.add(graph.digest)
                how = f"{'balance+' if base.balanced else ''}{method}{'+bias' if bias else ''}"
                tries[how], ways[how] = judge(graph), (base, method, bias)
    how = max(tries, key=lambda name: tries[name])
    base, method, bias = ways[how]
    made = quantize(base.graph, components, recipe, Setting(target=target, ranges=base.ranges[method]))
    if bias:
        made = replace(made, graph=correct_bias(made.graph, base.graph, batches))
    return Recovered(quantized=made, how=how, sqnr_db=tries)


class _Judge:
    """Likeness to the reference over the judging batches, each output by its own power; one batch in memory."""

    def __init__(self, reference: Graph, batches: Batches) -> None:
        self.batches, self.reference = batches, open_session(reference.proto)

    def __call__(self, graph: Graph) -> float:
        """Mean over the outputs of signal to noise in dB; minus infinity if one is broken."""
        session = open_session(graph.proto)
        signal = noise = np.zeros(len(self.reference.get_outputs()))
        for feeds in self._some():
            expected, found = (one.run(None, dict(feeds)) for one in (self.reference, session))
            signal = signal + [_power(a) for a in expected]
            noise = noise + [_power(_difference(a, b)) for a, b in zip(expected, found, strict=True)]
        if not np.isfinite(noise).all():
            return float("-inf")
        live = signal > 0.0
        ratios = 10.0 * np.log10(signal[live] / np.maximum(noise[live], 1e-20 * signal[live]))
        return float(ratios.mean()) if ratios.size else 0.0

    def _some(self) -> Iterator[Feeds]:
        """The judging batches; the first batch where there are too few."""
        judged = False
        for feeds in islice(_judging(self.batches()), _JUDGED):
            judged = True
            yield feeds
        if not judged:
            yield from islice(self.batches(), 1)


def _power(array: object) -> float:
    numbers = np.asarray(array)
    return float(np.square(numbers.astype(np.float64)).sum()) if numbers.dtype.kind == "f" else 0.0


def _difference(a: object, b: object) -> NDArray[np.float64]:
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
