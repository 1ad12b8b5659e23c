"""Mixed chains: the model cut where its families meet, each stage where it measured best, the whole measured again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import EdgeHybridError
from edgehybrid.exporters.depth import Cut, find_cuts, slice_chain
from edgehybrid.exporters.formats import Part, PlacedFile
from edgehybrid.exporters.measure import interleave
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.options import Effort, ExportOptions
from edgehybrid.exporters.placement.mixtures import mixture_parts
from edgehybrid.exporters.placement.paths import Border, Picked, Step, Way, pick
from edgehybrid.exporters.placement.stages import (
    Offered,
    StageFloat,
    elsewhere,
    float_stages,
    measure,
    on_threads,
    onnx_parts,
    tflite_parts,
)
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.search import OPTIMIZED, Built, Candidate, Plan, Workshop
from edgehybrid.exporters.trial import Tools
from edgehybrid.points import REFERENCE

MIXED = "mixed"
"""Begins the names of mixed chains, and names what a bundle says of those that were not made."""

_LEAST_APART = 0.1  # of the cost, between two cuts
_ONNX_FORMS = (OPTIMIZED, "w8-dyn", "w8a8")  # of the whole candidates; the float one may be the user's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far the search goes.

    Attributes:
        cuts: Places where the model is cut.
        threads: Numbers of threads beside the one that was asked for.
        at_once: Most cuts of one chain.
        proposals: Most chains that are measured whole, of each set of cuts.
        mixtures: Most mixtures that each stage is made in beside the plain forms.
        share: Of the seconds for timing all candidates, spent on stages.
    """

    cuts: int
    at_once: int
    proposals: int
    mixtures: int
    share: float = 0.5
    threads: tuple[int, ...] = ()


REACH: Mapping[Effort, Reach] = {
    "quick": Reach(cuts=1, at_once=1, proposals=2, mixtures=4),
    "standard": Reach(cuts=2, at_once=2, proposals=2, mixtures=6),
    "thorough": Reach(cuts=3, at_once=2, proposals=3, mixtures=8, threads=(2,)),
}


def propose_mixed(
    built: Built, prepared: Prepared, workshop: Workshop, keys: Sequence[str], options: ExportOptions, tools: Tools
) -> tuple[list[Candidate], list[Dropped]]:
    """Cut, measure every stage everywhere, and propose the chains over several back ends that promise most.

    Returns:
        Candidates, to be measured whole beside all others; and what was not done, with the reason.
    """
    reach = REACH[options.effort]
    best = float_of({candidate.name: candidate for candidate in built.candidates})
    found = find_cuts(best.graph, prepared.components, prepared.probes)
    cuts = _apart(sorted(found.cuts, key=lambda cut: (not cut.at_border, cut.overhead)))[: reach.cuts]
    if not cuts:
        why = "; ".join(f"{skip.where}: {skip.why}" for skip in found.skipped[:2]) or "no place where few values cross"
        return [], [Dropped(name=MIXED, reason=f"the model cannot be cut: {why}")]
    sets = [list(some) for n in range(1, reach.at_once + 1) for some in combinations(cuts, n)]
    threads = tuple(dict.fromkeys((options.threads, *reach.threads)))
    known = {candidate.name: candidate for candidate in built.candidates}
    cases = [
        Placing(
            known,
            prepared,
            workshop,
            keys,
            options,
            f"placed{number}",
            sorted(some, key=lambda cut: cut.share),
            threads,
        )
        for number, some in enumerate(sets, 1)
    ]
    tools.progress.start(len(cases), "placement")
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for case in cases:
        made, lost = case.propose(best, reach.proposals, reach.share * options.budget.timing_s / len(cases))
        candidates += made
        dropped += lost
        tools.progress.advance()
    return candidates, dropped


def _apart(cuts: Sequence[Cut]) -> list[Cut]:
    """Leave out cuts that split nearly as an earlier one does."""
    kept: list[Cut] = []
    for cut in cuts:
        if all(abs(cut.share - other.share) >= _LEAST_APART for other in kept):
            kept.append(cut)
    return kept


def float_of(known: Mapping[str, Candidate]) -> Candidate:
    """The float candidate that stages are compared with: the rewritten one where there is one."""
    return known.get(OPTIMIZED, known[REFERENCE])


@dataclass(frozen=True, slots=True)
class Placing:
    """One set of cuts, and what its stages may run as.

    Attributes:
        known: Candidates by name; the ONNX ones lend slices and mixtures.
        prepared: Model and data.
        workshop: What the mixtures are made from.
        keys: Back ends.
        options: Of the export.
        prefix: Of the names of its stages.
        cuts: In the order of the model.
        threads: Numbers of threads to try.
    """

    known: Mapping[str, Candidate]
    prepared: Prepared
    workshop: Workshop
    keys: Sequence[str]
    options: ExportOptions
    prefix: str
    cuts: Sequence[Cut]
    threads: Sequence[int]

    def propose(self, best: Candidate, most: int, budget_s: float) -> tuple[list[Candidate], list[Dropped]]:
        """Measure the stages, and turn the best ways into candidates."""
        where = " and ".join(cut.name for cut in self.cuts)
        with tempfile.TemporaryDirectory(prefix="edgehybrid-") as place:
            try:
                stages, offered = self.offers(best, Path(place), budget_s)
            except EdgeHybridError as error:
                return [], [Dropped(name=MIXED, reason=f"cut behind {where}: {error.what}")]
        dropped = [item for offer in offered for item in offer.dropped]
        if any(not offer.steps for offer in offered):
            return [], [*dropped, Dropped(name=MIXED, reason=f"cut behind {where}: a stage runs nowhere")]
        picked = pick_by_class(offered, border_of(stages), most)
        made = [self._candidate(way, offered, number) for number, way in enumerate(picked.ways, 1)]
        if picked.why_not:
            dropped.append(Dropped(name=MIXED, reason=f"cut behind {where}: {picked.why_not}"))
        return made, dropped

    def offers(self, best: Candidate, place: Path, budget_s: float) -> tuple[tuple[StageFloat, ...], list[Offered]]:
        """Cut ``best``, write every stage in every form into ``place``, let it through the gate, and time it alone.

        Raises:
            ExportError: It cannot be cut there.
            ModelError: ONNX Runtime refuses a slice.
        """
        names = {name: candidate for name, candidate in self.known.items() if candidate.file is None}
        wanted = [best, *(names[name] for name in _ONNX_FORMS[1:] if name in names)]
        for folder in ("floats", "onnx", "tflite", "loaded"):
            (place / folder).mkdir()
        stages = float_stages(best, self.prepared, self.cuts, self.prefix, place / "floats")
        parts, lost = onnx_parts(stages, wanted, self.cuts, place / "onnx")
        dropped: list[list[Dropped]] = [[] for _ in stages]
        dropped[0] += lost
        if "tflite" in self.keys or any(key.startswith("tflite-") for key in self.keys):
            for k, (stage, graph) in enumerate(zip(stages, self._writable(stages), strict=True)):
                lite, refused = tflite_parts(stage, graph, place / "tflite")
                parts[k] |= lite
                dropped[k] += refused
        offered = []
        for k, stage in enumerate(stages):
            everywhere = {**parts[k], **dict(elsewhere(parts[k], self.keys)), **self._mixtures(stage, parts[k])}
            offer = measure(
                stage,
                everywhere,
                place / "loaded",
                budget_s=budget_s / len(stages),
                threads=self.threads,
                seed=self.options.seed,
            )
            offered.append(Offered(parts=offer.parts, steps=offer.steps, dropped=(*dropped[k], *offer.dropped)))
        return stages, offered

    def _mixtures(self, stage: StageFloat, made: Mapping[str, Part]) -> dict[str, Part]:
        most = REACH[self.options.effort].mixtures
        return mixture_parts(stage, self.known.values(), self.workshop, self.cuts, made=made, most=most)

    def _writable(self, stages: Sequence[StageFloat]) -> list[Graph]:
        """Slices of the user's own graph, whose operators other formats know; else of the rewritten one.

        Rewrites also take out what a slice reads of the model's inputs only for their shapes.
        """
        try:
            own = slice_chain(self.prepared.model.graph, self.cuts)
        except EdgeHybridError:
            own = tuple(stage.graph for stage in stages)
        return [
            graph if {value.name for value in graph.proto.graph.input} == stage.reads else stage.graph
            for graph, stage in zip(own, stages, strict=True)
        ]

    def _candidate(self, way: Way, offered: Sequence[Offered], number: int) -> Candidate:
        parts = [offer.parts[step.option] for offer, step in zip(offered, way.steps, strict=True)]
        name = f"{MIXED}-{self.prefix}-{number}" + on_threads(max(part.threads for part in parts))
        return mixed_candidate(name, parts, self.prepared)


def mixed_candidate(name: str, parts: Sequence[Part], prepared: Prepared) -> Candidate:
    """Make one candidate of parts that run one after the other, each on its own threads."""
    return Candidate(
        name=name,
        graph=prepared.model.graph,
        plan=Plan(name=name, recipe={f"{part.stage} ({', '.join(part.schemes)})": _words(part) for part in parts}),
        schemes=_schemes(parts),
        threads=max(part.threads for part in parts),
        file=PlacedFile(parts=tuple(parts)),
    )


def _words(part: Part) -> str:
    name = part.variant if "@" in part.variant or part.variant.startswith("tflite-") else f"{part.variant} in ONNX"
    return f"{name} on {part.threads} threads" if part.threads > 1 else name


def pick_by_class(offered: Sequence[Offered], border_s: Border, most: int) -> Picked:
    """Pick among all ways, and apart among those that are safer or cheaper.

    Without static integers quality is the safer one; on one number of threads throughout, CPU time is less than where
    every stage takes as many as make it fastest.
    """
    every = [offer.steps for offer in offered]
    first = pick(every, border_s, most)
    classes = [careful_of(offered)]
    counts = sorted({step.threads for steps in every for step in steps})
    if len(counts) > 1:
        classes += [[tuple(step for step in steps if step.threads == n) for steps in every] for n in counts]
    others = [pick(some, border_s, most).ways for some in classes if all(some)]
    ways = tuple({way.steps: way for way in (*first.ways, *(way for some in others for way in some))}.values())
    return Picked(ways=ways, why_not=first.why_not if not ways else "")


def careful_of(offered: Sequence[Offered]) -> list[tuple[Step, ...]]:
    """The steps of each stage without static integers."""
    return [
        tuple(step for step in offer.steps if not any("w8a8" in s for s in offer.parts[step.option].schemes.values()))
        for offer in offered
    ]


def border_of(stages: Sequence[StageFloat]) -> Border:
    """Cost of a hand-over: nothing inside of one back end; between two, a copy of what crosses, as measured here.

    LiteRT's own memory is written and read in place, so that between it and ONNX Runtime on the CPU nothing is copied.
    """
    copies = [_copy_s([stage.rows[0][spec.name] for spec in stage.session.inputs]) for stage in stages[1:]]
    plain = {"onnx", "tflite"}

    def border_s(stage: int, before: str, behind: str) -> float:
        return 0.0 if before == behind or {before, behind} <= plain else copies[stage]

    return border_s


def _copy_s(arrays: Sequence[NDArray[np.generic]]) -> float:
    pairs = [(np.empty_like(array), array) for array in arrays]

    def copy() -> None:
        for target, source in pairs:
            target[...] = source

    return float(np.median(interleave({"copy": copy}, budget_s=0.0, min_rounds=50).wall_s))


def _schemes(parts: Sequence[Part]) -> dict[str, str]:
    """What each component is in: of the parts' own, all that differ."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, scheme in part.schemes.items():
            found.setdefault(name, set()).add(scheme)
    return {name: "+".join(sorted(kinds)) for name, kinds in found.items()}
