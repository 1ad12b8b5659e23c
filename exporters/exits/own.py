"""Exits that the model was trained with: outputs of its own, in the precision of a chosen candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, ExitInfo
from edgehybrid.errors import RequestError
from edgehybrid.exporters.chains import Chain, ChainStage, LoadedChain, load_chain
from edgehybrid.exporters.depth import Cut, attach_confidence, named_exits, slice_chain
from edgehybrid.exporters.exits.arming import CHAIN_ERRORS
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.choosing import Judged
from edgehybrid.exporters.exits.deepening import Armed
from edgehybrid.exporters.exits.sureness import Sureness, how_sure
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.search import Candidate
from edgehybrid.exporters.workshops import calibrate, find_best_float

Float64Array = NDArray[np.float64]

_STAGE_COST = 0.02  # of a run of the model: another session


def arm_own(case: Case, candidate: Candidate) -> Armed | Dropped:
    """Cut ``candidate`` at the exits of the model's own and load the chain."""
    name = f"{candidate.name}~"
    if case.task.kind == "value":
        why = "a value of the model's own does not say how sure it is; --exits auto predicts the error of one"
        return Dropped(name=name, reason=f"exits: {why}")
    try:
        cuts, graphs = _slices(case, candidate)
        sure = _judge(case, graphs)
        stages = [
            ChainStage(
                name=f"part-{number}",
                graph=_with_confidence(graph, case, number, seen),
                exit=_info(case, cut, number, seen),
            )
            for number, (graph, cut, seen) in enumerate(zip(graphs, cuts, sure, strict=False), 1)
        ]
        stages.append(ChainStage(name=f"part-{len(graphs)}", graph=graphs[-1]))
        chain = Chain(name=candidate.name, candidate=candidate, stages=tuple(stages))
        loaded: LoadedChain = load_chain(chain, case.chain_folder(chain.name), candidate.threads)
    except (*CHAIN_ERRORS, RequestError) as error:
        return Dropped(name=name, reason=f"exits: {error.what}")
    view = Judged(
        confidence=np.column_stack([seen.confidence for seen in sure]),
        losses=np.column_stack([seen.failure for seen in sure]),
        costs=(*(cut.share + _STAGE_COST * k for k, cut in enumerate(cuts)), 1.0 + _STAGE_COST * len(cuts)),
    )
    return Armed(loaded=loaded, path=view.path(), losses=case.task.losses, view=view)


def _slices(case: Case, candidate: Candidate) -> tuple[tuple[Cut, ...], tuple[Graph, ...]]:
    """The model with its exits in the precision of ``candidate``, cut behind each of them."""
    prepared, tools = case.prepared, case.tools
    if prepared.with_exits is None:
        raise RequestError("No exits were named.", "Give --exits the names of outputs.")
    best = find_best_float(prepared.with_exits, prepared, case.options, tools).graph
    method = candidate.plan.method
    workshop = replace(
        case.workshop,
        original=prepared.with_exits,
        best_float=best,
        ranges={method: calibrate(best, prepared, method, tools.cache)},
    )
    built = {item.name: item for item in workshop.build([candidate.plan]).candidates}
    variant = built.get(candidate.name, list(built.values())[-1])
    found = named_exits(best, prepared.components, prepared.probes, tuple(case.options.exits))
    return found.cuts, slice_chain(variant.graph, found.cuts)


def _judge(case: Case, graphs: Sequence[Graph]) -> list[Sureness]:
    """The confidence score of each exit that ranks its failures best, against the full depth of this very chain."""
    sessions = [open_session(graph.proto) for graph in graphs]
    names = [[item.name for item in session.get_outputs()] for session in sessions]
    wanted = [f"exit{number}_{case.task.output}" for number in range(1, len(graphs))] + [case.task.output]
    answers: list[list[Float64Array]] = [[] for _ in wanted]
    for feeds in case.rows:
        values = dict(feeds)
        for session, outputs in zip(sessions, names, strict=True):
            given = {item.name: values[item.name] for item in session.get_inputs()}
            values |= dict(zip(outputs, session.run(outputs, given), strict=True))
        for column, name in zip(answers, wanted, strict=True):
            column.append(np.asarray(values[name], dtype=np.float64).reshape(-1))
    *early, full = (np.array(column) for column in answers)
    return [how_sure(case, given, full) for given in early]


def _with_confidence(graph: Graph, case: Case, number: int, seen: Sureness) -> Graph:
    name, output = f"exit{number}_confidence", f"exit{number}_{case.task.output}"
    return attach_confidence(graph, output, name=name, form=case.task.kind, score=seen.score)


def _info(case: Case, cut: Cut, number: int, seen: Sureness) -> ExitInfo:
    return ExitInfo(
        outputs={case.task.output: f"exit{number}_{case.task.output}"},
        confidence=f"exit{number}_confidence",
        score=seen.score.name,
        head="own",
        after=cut.component,
        cost_share=cut.share,
        agreement=seen.agreement,
        made_of=f"output {cut.exits[0]} of the model",
    )
