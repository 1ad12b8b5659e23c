"""Fit the best candidates: the same mixture, calibrated, balanced and corrected in the way that is likest to float."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import onnx
from numpy.typing import NDArray

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.options import Budget
from edgehybrid.exporters.precision import Calibrated, calibrate, quantize_best
from edgehybrid.exporters.prepare import Prepared, calibration_batches
from edgehybrid.exporters.search import Built, Candidate, Plan, Workshop
from edgehybrid.exporters.trial import Tools, seconds_alone

_PASSES = 70  # over the data, for three candidates, counting that many outputs are read
_FIRST = ("w8a8", "conv-w8a8+dense-w8-dyn+w8")
"""Fixed mixtures that are fitted before others: the nearest to full int8, and the one that was fastest most often."""


def fit(built: Built, prepared: Prepared, workshop: Workshop, tools: Tools, budget: Budget) -> tuple[Candidate, ...]:
    """Make up to ``budget.fits`` fitted twins of candidates whose ranges come from calibration; named ``...-fit``.

    They stand beside the plain ones: what fitting won is measured, and so is what it costs.
    """
    chosen = _worth([c for c in built.candidates if c.plan.needs_ranges and c.plan.threads is None], budget.fits)
    if not chosen:
        return ()
    tools.progress.start(len(chosen), "fit calibrations")
    fitter = _Fitter(prepared, workshop, tools, budget.survey_s)
    known = {candidate.graph.digest for candidate in built.candidates}
    found = []
    for candidate in chosen:
        graph = fitter(candidate)
        if graph.digest not in known:
            known.add(graph.digest)
            plan = Plan(name=f"{candidate.name}-fit", recipe=candidate.plan.recipe, method=candidate.plan.method)
            found.append(replace(candidate, name=plan.name, graph=graph, plan=plan))
        tools.progress.advance()
    return tuple(found)


def _worth(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The named ones first, then the proposals from the fastest on, then the rest."""

    def rank(candidate: Candidate) -> tuple[int, int]:
        name = candidate.name
        if name in _FIRST:
            return 0, _FIRST.index(name)
        number = name.removeprefix("mix-")
        return (1, -int(number)) if number.isdigit() else (2, 0)

    return sorted(candidates, key=rank)[:count]


class _Fitter:
    """Calibrates once, when the first graph is not known yet."""

    def __init__(self, prepared: Prepared, workshop: Workshop, tools: Tools, seconds: float) -> None:
        self.prepared, self.workshop, self.tools = prepared, workshop, tools
        samples = max(int(seconds / (_PASSES * seconds_alone(prepared, tools.cache))), 16)
        self._every = -(-prepared.calibration.count // samples)  # of so many batches one is used
        self._calibrated: tuple[Calibrated, ...] = ()

    def __call__(self, candidate: Candidate) -> Graph:
        """Fit one; the graph is kept by what it is made from."""
        base = self.workshop.best_float.digest
        data = f"{self.prepared.calibration.sha256} {self._every}"

        def make() -> dict[str, NDArray[np.generic]]:
            return {"graph": np.frombuffer(self._make(candidate).to_bytes(), dtype=np.uint8)}

        kept = self.tools.cache.get(("fit", candidate.graph.digest, base, data), make)["graph"]
        return Graph(proto=onnx.ModelProto.FromString(kept.tobytes()))

    def _make(self, candidate: Candidate) -> Graph:
        if not self._calibrated:
            self._calibrated = calibrate(self.workshop.best_float, self._batches)
        components, recipe = self.workshop.components, candidate.plan.recipe
        target = self.workshop.target
        return quantize_best(self._calibrated, components, recipe, target, self._batches).quantized.graph

    def _batches(self) -> Iterator[dict[str, NDArray[np.generic]]]:
        return islice(calibration_batches(self.prepared.calibration), 0, None, self._every)
