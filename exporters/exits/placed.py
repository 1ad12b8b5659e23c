"""Chains with exits over several back ends: every stage where it measures best, the heads in ONNX behind it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import EdgeHybridError
from edgehybrid.exporters.chains import Chain, ChainStage, load_chain
from edgehybrid.exporters.depth import Fitted, attach_spec, head_alone, spec_of
from edgehybrid.exporters.exits.arming import Blueprint, fitted_exit, view_of
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.deepening import Armed
from edgehybrid.exporters.exits.offers import Offer, heads_on
from edgehybrid.exporters.formats import Part
from edgehybrid.exporters.measure import open_placed
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.placement import (
    Placing,
    border_of,
    careful_of,
    cheapest,
    float_of,
    mixed_candidate,
    why_not_placed,
)

PLACED = "placed"
"""Begins the names of such chains and of their stages."""

_MOST_SETS = 2  # of cuts: each is written and timed in every form
_TIMING_SHARE = 0.3  # of the seconds for timing all candidates


def place_chains(case: Case, sets: Sequence[tuple[Offer, ...]], full: NDArray[np.float64]) -> list[Armed | Dropped]:
    """Make each of the first ``sets`` of cuts into a chain over several back ends, where that is cheaper.

    Args:
        case: The export.
        sets: Cuts with heads, those that pay best first.
        full: Answers of the surveyed candidate to the rows, from which the heads are.
    """
    if not set(case.options.backends) - {"onnx"} or why_not_placed(case.prepared):
        return []
    case.tools.progress.start(len(sets[:_MOST_SETS]), "placement of exits")
    made: list[Armed | Dropped] = []
    for number, offers in enumerate(sets[:_MOST_SETS], 1):
        made += _place(case, Blueprint(name=f"{PLACED}{number}-exits", suffix=f"{number}", offers=offers), full)
        case.tools.progress.advance()
    return made


def _place(case: Case, blueprint: Blueprint, full: NDArray[np.float64]) -> list[Armed | Dropped]:
    trial, options = case.chosen.trial, case.options
    known = {item.name: item for item in (*trial.removed, *trial.candidates)}  # the good ones last
    best, cuts = float_of(known), [offer.cut for offer in blueprint.offers]
    prefix = f"{PLACED}-exits{blueprint.suffix}"
    placing = Placing(known, case.prepared, case.workshop, options.backends, options, prefix, cuts, (options.threads,))
    budget_s = _TIMING_SHARE * options.budget.timing_s / _MOST_SETS
    try:
        with tempfile.TemporaryDirectory(prefix="edgehybrid-") as place:
            stages, offered = placing.offers(best, Path(place), budget_s)
        if any(not offer.steps for offer in offered):
            return [_dropped(blueprint, "a stage runs nowhere")]
        found: list[Armed | Dropped] = []
        graphs = [stage.graph for stage in stages]
        ways = [
            way
            for some in ([offer.steps for offer in offered], careful_of(offered))
            if all(some)
            for way in cheapest(some, border_of(stages), 1)
        ]
        for number, way in enumerate(dict.fromkeys(ways)):
            if len({step.option for step in way.steps}) == 1 and way.backends == {"onnx"}:
                found.append(_dropped(blueprint, "every stage takes least as one candidate in ONNX Runtime on the CPU"))
                continue
            parts = [offer.parts[step.option] for offer, step in zip(offered, way.steps, strict=True)]
            heads = _heads(case, parts, graphs, blueprint, full)
            name = blueprint.name + ("-safe" if number else "")
            found.append(_arm(case, replace(blueprint, name=name), parts, graphs, heads, full))
    except EdgeHybridError as error:
        return [_dropped(blueprint, error.what)]
    return found


def _heads(
    case: Case, parts: Sequence[Part], graphs: Sequence[Graph], blueprint: Blueprint, full: NDArray[np.float64]
) -> list[Fitted]:
    """Fit the heads on what these very files give: integers of another kind move what they see."""
    pooled, seed = [offer.head.pooling for offer in blueprint.offers], case.options.seed
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as place:
        sessions = [open_placed((part,), Path(place)) for part in parts[:-1]]
        return heads_on(case.rows, sessions, graphs[:-1], full, case.task.kind, pooled=pooled, seed=seed)


def _arm(
    case: Case,
    blueprint: Blueprint,
    parts: Sequence[Part],
    graphs: Sequence[Graph],
    heads: Sequence[Fitted],
    full: NDArray[np.float64],
) -> Armed:
    """Join parts and heads, and load the chain.

    A head sits in its stage where that is a graph of ONNX Runtime; behind a file of another back end it is a stage of
    its own, in floats: what decides is not rounded to integers.
    """
    stages: list[ChainStage] = []
    for number, (part, graph) in enumerate(zip(parts, graphs, strict=True), 1):
        inside = part.graph if part.backend == "onnx" else None
        # stages of one name have the same inputs and outputs in all chains
        name = f"{part.stage}-{'onnx' if inside is not None else 'file'}"
        own = None if inside is not None else replace(part, stage=name, variant=blueprint.name, graph=None)
        if number > len(heads):
            stages.append(ChainStage(name=name, graph=inside or graph, schemes=part.schemes, part=own))
            continue
        spec, output = spec_of(heads[number - 1]), case.task.output
        info = fitted_exit(heads[number - 1], blueprint.offers[number - 1].cut, number, output)
        if inside is not None:
            headed = attach_spec(inside, spec, number, output)
            stages.append(ChainStage(name=name, graph=headed, exit=info, schemes=part.schemes))
            continue
        stages.append(ChainStage(name=name, graph=graph, schemes=part.schemes, part=own))
        head = head_alone(graph, spec, number, output)
        stages.append(ChainStage(name=f"{part.stage}-head", graph=head, exit=info, schemes={}))
    candidate = mixed_candidate(blueprint.name, parts, case.prepared)
    chain = Chain(name=blueprint.name, candidate=candidate, stages=tuple(stages))
    loaded = load_chain(chain, case.chain_folder(chain.name), case.options.threads)
    view = view_of(case, heads, blueprint, full)
    return Armed(loaded=loaded, path=view.path(), losses=case.task.losses, view=view)


def _dropped(blueprint: Blueprint, why: str) -> Dropped:
    return Dropped(name=f"{blueprint.name}~", reason=f"exits: {why}")
