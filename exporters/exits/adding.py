"""Depth for the chosen candidates: exits, own or fitted, a cascade, the gate; and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgehybrid.bundle import Dropped
from edgehybrid.exporters.assemble import Chosen
from edgehybrid.exporters.depth import find_cuts
from edgehybrid.exporters.exits.arming import Blueprint, arm
from edgehybrid.exporters.exits.cascading import arm_cascade
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.choosing import choose_sets
from edgehybrid.exporters.exits.deepening import Armed, deepen
from edgehybrid.exporters.exits.gating import GATE, add_gate
from edgehybrid.exporters.exits.offers import make_offers
from edgehybrid.exporters.exits.own import arm_own
from edgehybrid.exporters.exits.placed import place_chains
from edgehybrid.exporters.exits.rows import head_rows
from edgehybrid.exporters.exits.task import find_task
from edgehybrid.exporters.options import AUTO_EXITS, NO_EXITS, ExportOptions
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.search import Candidate, Workshop
from edgehybrid.exporters.trial import Tools
from edgehybrid.points import REFERENCE

EXITS = "exits"
"""Name under which a bundle says why it has none."""

_MOST_CHAINS = 2
_CLEARLY_SLOWER = 1.15
_SUFFIXES = ("", "-b", "-c", "-d", "-e", "-f")  # of chains with other cuts


def add_depth(
    chosen: Chosen,
    prepared: Prepared,
    workshop: Workshop,
    options: ExportOptions,
    tools: Tools,
    folder: Path,
    *,
    max_drop: float,
) -> Chosen:
    """Calibrate the gate, and offer exits; each promise that measures worth it becomes a point."""
    if options.exits == NO_EXITS and not options.gate:
        return chosen
    case = find_case(chosen, prepared, workshop, options, tools, folder)
    if isinstance(case, str):
        wanted = [(EXITS, options.exits != NO_EXITS), (GATE, options.gate)]
        return _without(chosen, case, *(name for name, asked in wanted if asked))
    if options.gate:
        case = replace(case, chosen=add_gate(chosen, prepared, case.task))
    return case.chosen if options.exits == NO_EXITS else _add_exits(case, max_drop)


def find_case(
    chosen: Chosen, prepared: Prepared, workshop: Workshop, options: ExportOptions, tools: Tools, folder: Path
) -> Case | str:
    """Gather what exits need, or say why this model gets none."""
    task = find_task(chosen, prepared)
    if isinstance(task, str):
        return task
    return Case(
        chosen=chosen,
        prepared=prepared,
        workshop=workshop,
        options=options,
        tools=tools,
        folder=folder,
        task=task,
        rows=head_rows(prepared.calibration, seed=options.seed),
    )


def _add_exits(case: Case, max_drop: float) -> Chosen:
    candidates = worth_cutting(case.chosen)
    if not candidates:
        return _without(case.chosen, "no candidate beside the float model is kept, so that none is cut", EXITS)
    made = _fitted(case, candidates) if case.options.exits == AUTO_EXITS else [arm_own(case, c) for c in candidates]
    made.append(arm_cascade(case))
    armed = [item for item in made if isinstance(item, Armed)]
    dropped = [item for item in made if isinstance(item, Dropped)]
    chosen = replace(case.chosen, dropped=(*case.chosen.dropped, *dropped))
    if not armed:
        return chosen
    return deepen(chosen, armed, case.prepared, case.options, case.tools, max_drop=max_drop)


def _fitted(case: Case, candidates: tuple[Candidate, ...]) -> list[Armed | Dropped]:
    """Find cuts, see on the first candidate where heads pay, and cut all candidates there."""
    first = candidates[0]
    cuts = find_cuts(case.workshop.best_float, case.prepared.components, case.prepared.probes)
    full = case.answers(first.name)
    offers = make_offers(case, first, cuts.cuts, full)
    sets = choose_sets(offers.found, case.options.exit_losses, case.rows.inputs, most=len(_SUFFIXES))
    if not sets:
        near = [f"{skip.where}: {skip.why}" for skip in cuts.skipped[:2]]
        why = "; ".join([*offers.whys[:2], *near])
        return [Dropped(name=EXITS, reason=why or "no head at any cut agrees with the model often enough to save time")]
    made = []
    for candidate in candidates:
        answers = full if candidate is first else case.answers(candidate.name)
        for suffix, offered in zip(_SUFFIXES, sets, strict=False):
            blueprint = Blueprint(name=f"{candidate.name}{suffix}", suffix=suffix, offers=offered)
            made.append(arm(case, candidate, blueprint, answers, surveyed=candidate is first))
    return [*made, *place_chains(case, sets, full)]


def _without(chosen: Chosen, why: str, *names: str) -> Chosen:
    return replace(chosen, dropped=(*chosen.dropped, *(Dropped(name=name, reason=why) for name in names)))


def worth_cutting(chosen: Chosen) -> tuple[Candidate, ...]:
    """Graphs that get exits: the fastest of the points, and the best one where it is clearly slower.

    Where files of another format took the places of the fast, the fastest graph beside them: heads and cuts are found
    on graphs.
    """
    graphs = [item.name for item in chosen.trial.candidates if item.file is None and item.name in chosen.figures]
    names = [name for name in chosen.names if name != REFERENCE and name in graphs]
    wall = {name: float(np.median(chosen.figures[name].wall_s)) for name in graphs}
    if len(chosen.names) > 1:
        quickest = min(graphs, key=wall.__getitem__)
        if not names or min(wall[name] for name in names) > _CLEARLY_SLOWER * wall[quickest]:
            names.append(quickest)
    if not names or names == [REFERENCE]:
        return ()
    fastest = min(names, key=wall.__getitem__)
    picked = [fastest]
    if names[0] != fastest and wall[names[0]] > _CLEARLY_SLOWER * wall[fastest]:
        picked.append(names[0])
    return tuple(chosen.trial.candidate(name) for name in picked[:_MOST_CHAINS])
