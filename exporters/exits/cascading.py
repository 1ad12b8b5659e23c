"""Cascades: a small candidate answers first, a better one only where it is not sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgehybrid.bundle import Dropped, ExitInfo
from edgehybrid.errors import RequestError
from edgehybrid.exporters.assemble import STAGE
from edgehybrid.exporters.chains import Chain, ChainStage, load_chain
from edgehybrid.exporters.depth import attach_confidence, rename_output
from edgehybrid.exporters.exits.arming import CHAIN_ERRORS
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.choosing import Judged
from edgehybrid.exporters.exits.deepening import Armed
from edgehybrid.exporters.exits.sureness import Sureness, how_sure
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.prepare import first_feeds
from edgehybrid.exporters.search import Candidate
from edgehybrid.exporters.trial import time_runs
from edgehybrid.points import REFERENCE

CASCADE = "cascade"
"""Name of the chain, and under which a bundle says why it has none."""

_CLEARLY_FASTER = 0.75
_MOST_TRIED = 3
_WORTH = 0.95
_TIMING_SHARE = 0.15  # of the seconds for timing all candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A small candidate before a large one, as the calibration rows see it; times in runs of the large one."""

    small: Candidate
    sure: Sureness
    view: Judged
    cost: float


def arm_cascade(case: Case) -> Armed | Dropped:
    """Put the small candidate that pays best before the best one, if the two beat every one alone."""
    if case.task.kind == "value":
        return Dropped(name=CASCADE, reason="a value does not say how sure it is, so that no small point goes first")
    trial = case.chosen.trial
    graphs = [name for name in case.chosen.names if name != REFERENCE and trial.candidate(name).file is None]
    if not graphs:
        return Dropped(name=CASCADE, reason="no point beside the float model is an ONNX graph")
    large = trial.candidate(graphs[0])
    walls = _walls(case, large)
    smalls = [name for name in walls if walls[name] <= _CLEARLY_FASTER]
    if not smalls:
        least = min(walls, key=walls.__getitem__)
        why = f"no candidate is clearly faster than {large.name}: {least} takes {walls[least]:.2f} of its time"
        return Dropped(name=CASCADE, reason=why)
    full = case.answers(large.name)
    pairs = [_pair(case, _candidate(case, name), walls[name], full) for name in smalls[:_MOST_TRIED]]
    best = min(pairs, key=lambda pair: pair.cost)
    alone = min(walls[name] for name in graphs)
    if best.cost > _WORTH * alone:
        why = (
            f"{best.small.name} before {large.name} would take {best.cost:.2f} of the time of {large.name}; "
            f"the fastest point alone takes {alone:.2f}"
        )
        return Dropped(name=CASCADE, reason=why)
    return _load(case, best, large)


def _candidate(case: Case, name: str) -> Candidate:
    trial = case.chosen.trial
    return next(candidate for candidate in (*trial.candidates, *trial.removed) if candidate.name == name)


def _walls(case: Case, large: Candidate) -> dict[str, float]:
    """Time of every graph that gives numbers, those that lose too much alone included, in runs of ``large``."""
    trial, options = case.chosen.trial, case.options
    every = [item for item in (*trial.candidates, *trial.removed) if item.file is None]
    items = [item for item in every if case.chosen.scores[item.name].finite]
    feeds = first_feeds(case.prepared.evaluation, 1)[0]
    runs = {item.name: (lambda session=trial.sessions[item.name]: session.run(feeds)) for item in items}
    key = (CASCADE, *(f"{item.graph.digest} {item.threads}" for item in items))
    budget_s = _TIMING_SHARE * options.budget.timing_s
    times = time_runs(runs, key, case.tools, budget_s=budget_s, seed=options.seed)
    base = times.wall_s[:, times.column(large.name)]
    ratios = {item.name: float(np.median(times.wall_s[:, times.column(item.name)] / base)) for item in items}
    return dict(sorted(ratios.items(), key=lambda pair: pair[1]))


def _pair(case: Case, small: Candidate, wall: float, full: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> _Pair:
    sure = how_sure(case, case.answers(small.name), full)
    view = Judged(confidence=sure.confidence[:, None], losses=sure.failure[:, None], costs=(wall, 1.0 + wall))
    return _Pair(small=small, sure=sure, view=view, cost=view.least_costs([max(case.options.exit_losses)])[0])


def _load(case: Case, pair: _Pair, large: Candidate) -> Armed | Dropped:
    output = case.task.output
    try:
        first = ChainStage(
            name=f"{CASCADE}-1",
            graph=_first_stage(case, pair),
            exit=ExitInfo(
                outputs={output: f"exit1_{output}"},
                confidence="exit1_confidence",
                score=pair.sure.score.name,
                head="cascade",
                cost_share=pair.view.costs[0],
                agreement=pair.sure.agreement,
                made_of=f"{pair.small.name}, whole",
            ),
            schemes=pair.small.schemes,
        )
        chain = Chain(name=CASCADE, candidate=large, stages=(first, ChainStage(name=STAGE, graph=large.graph)))
        loaded = load_chain(chain, case.chain_folder(CASCADE), large.threads)
    except (*CHAIN_ERRORS, RequestError) as error:
        return Dropped(name=CASCADE, reason=error.what)
    return Armed(loaded=loaded, path=pair.view.path(), losses=case.task.losses, view=pair.view)


def _first_stage(case: Case, pair: _Pair) -> Graph:
    output = f"exit1_{case.task.output}"
    renamed = rename_output(pair.small.graph, case.task.output, output)
    return attach_confidence(renamed, output, name="exit1_confidence", form=case.task.kind, score=pair.sure.score)
