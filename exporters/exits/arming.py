"""Chains: a candidate cut at the chosen places, with its heads, written, loaded, and with its path of thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, ExitInfo
from edgehybrid.errors import DataError, ExportError, ModelError
from edgehybrid.exporters.chains import Chain, ChainStage, load_chain
from edgehybrid.exporters.depth import Cut, Fitted, attach_spec, slice_chain, spec_of
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.choosing import Judged
from edgehybrid.exporters.exits.deepening import Armed
from edgehybrid.exporters.exits.offers import Offer, head_behind, head_losses
from edgehybrid.exporters.search import Candidate

Float64Array = NDArray[np.float64]

CHAIN_ERRORS = (DataError, ExportError, ModelError)
"""What keeps a chain from being made, and is a reason in the bundle then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A chain to make.

    Attributes:
        name: Of the chain and of its variants.
        suffix: Of the names of its stages: stages of one name have the same inputs and outputs in all chains.
        offers: Cuts, shallowest first, with what was found there on the candidate that was surveyed.
    """

    name: str
    suffix: str
    offers: tuple[Offer, ...]


def arm(
    case: Case,
    candidate: Candidate,
    blueprint: Blueprint,
    full: Float64Array,
    known: Mapping[str, Fitted] | None = None,
) -> Armed | Dropped:
    """Cut ``candidate``, put heads behind the cuts and load the chain.

    Args:
        case: The export.
        candidate: What is cut.
        blueprint: Where, and what it is called.
        full: The candidate's own answers to the rows.
        known: Cut to head, where they were fitted on this very candidate.
    """
    cuts = [offer.cut for offer in blueprint.offers]
    try:
        graphs = slice_chain(candidate.graph, cuts)
        stages, heads = [], []
        for number, (cut, graph) in enumerate(zip(cuts, graphs, strict=False), 1):
            head = (known or {}).get(cut.name) if _stands_alone(cuts[:number]) else None
            head = head or head_behind(case, graphs[:number], full)
            heads.append(head)
            headed = attach_spec(graph, spec_of(head), number, case.task.output)
            info = fitted_exit(head, cut, number, case.task.output)
            stages.append(ChainStage(name=f"part-{number}{blueprint.suffix}", graph=headed, exit=info))
        stages.append(ChainStage(name=f"part-{len(graphs)}{blueprint.suffix}", graph=graphs[-1]))
        chain = Chain(name=blueprint.name, candidate=candidate, stages=tuple(stages))
        loaded = load_chain(chain, case.chain_folder(chain.name), candidate.threads)
    except CHAIN_ERRORS as error:
        return Dropped(name=f"{blueprint.name}~", reason=f"exits: {error.what}")
    truth = full[case.rows.inputs]
    view = Judged(
        confidence=np.column_stack([head.confidence for head in heads]),
        losses=np.column_stack([head_losses(head, truth, case.task.losses) for head in heads]),
        costs=(*(offer.early for offer in blueprint.offers), 1.0 + sum(o.whole - 1.0 for o in blueprint.offers)),
    )
    rising = tuple(np.maximum.accumulate(view.costs).tolist())
    return Armed(loaded=loaded, path=replace(view, costs=rising).path(), losses=case.task.losses)


def _stands_alone(cuts: Sequence[Cut]) -> bool:
    """Whether nothing that crosses the last cut has crossed one before, so that its features are those of one cut."""
    before = {crossing.value for cut in cuts[:-1] for crossing in cut.values}
    return not before & {crossing.value for crossing in cuts[-1].values}


def fitted_exit(head: Fitted, cut: Cut, number: int, output: str) -> ExitInfo:
    """Describe a fitted head as the bundle does."""
    return ExitInfo(
        outputs={output: f"exit{number}_{output}"},
        confidence=f"exit{number}_confidence",
        score=head.score.name,
        head="fitted",
        after=cut.component,
        cost_share=cut.share,
        agreement=head.agreement,
        made_of=f"{head.method} on {len(head.weight)} features ({head.pooling})",
    )
