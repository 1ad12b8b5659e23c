"""Chains: a candidate cut at the chosen places, with its heads, written, loaded, and with its path of thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, ExitInfo
from edgehybrid.errors import DataError, ExportError, ModelError
from edgehybrid.exporters.chains import Chain, ChainStage, load_chain
from edgehybrid.exporters.depth import Cut, Fitted, attach_spec, poolings, slice_chain, spec_of
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.choosing import Judged, judged
from edgehybrid.exporters.exits.deepening import Armed
from edgehybrid.exporters.exits.offers import Offer, head_losses, heads_behind
from edgehybrid.exporters.model import Graph
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
    *,
    surveyed: bool,
) -> Armed | Dropped:
    """Cut ``candidate``, put heads behind the cuts and load the chain.

    Args:
        case: The export.
        candidate: What is cut.
        blueprint: Where, and what it is called.
        full: The candidate's own answers to the rows.
        surveyed: Whether the heads of the blueprint were fitted on this very candidate.
    """
    cuts = [offer.cut for offer in blueprint.offers]
    try:
        graphs = slice_chain(candidate.graph, cuts)
        heads = make_heads(case, graphs, blueprint, full, surveyed=surveyed)
        stages = []
        for number, (cut, graph, head) in enumerate(zip(cuts, graphs, heads, strict=False), 1):
            headed = attach_spec(graph, spec_of(head), number, case.task.output)
            info = fitted_exit(head, cut, number, case.task.output)
            stages.append(ChainStage(name=f"part-{number}{blueprint.suffix}", graph=headed, exit=info))
        stages.append(ChainStage(name=f"part-{len(graphs)}{blueprint.suffix}", graph=graphs[-1]))
        chain = Chain(name=blueprint.name, candidate=candidate, stages=tuple(stages))
        loaded = load_chain(chain, case.chain_folder(chain.name), candidate.threads)
    except CHAIN_ERRORS as error:
        return Dropped(name=f"{blueprint.name}~", reason=f"exits: {error.what}")
    view = view_of(case, heads, blueprint, full)
    return Armed(loaded=loaded, path=view.path(), losses=case.task.losses, view=view)


def make_heads(
    case: Case, graphs: Sequence[Graph], blueprint: Blueprint, full: Float64Array, *, surveyed: bool
) -> list[Fitted]:
    """Take the heads of the blueprint, or fit new ones where they see other features here.

    Raises:
        DataError: No basis for a head.
        ExportError: Nothing that crosses can be pooled.
        ModelError: A stage does not run.
    """
    cuts, heads = [offer.cut for offer in blueprint.offers], []
    for number, offer in enumerate(blueprint.offers, 1):
        head = offer.head
        if not surveyed or not _stands_alone(cuts[:number]):
            pooling = _pooling(graphs[number - 1], number, head)
            (head,) = heads_behind(case, graphs[:number], full, most=1, pooling=pooling)
        heads.append(head)
    return heads


def view_of(case: Case, heads: Sequence[Fitted], blueprint: Blueprint, full: Float64Array) -> Judged:
    """The exits as the rows see them that the heads come from, out of fold."""
    return Judged(
        confidence=np.column_stack([head.all_confidence for head in heads]),
        losses=np.column_stack([head_losses(head, full, case.task.losses) for head in heads]),
        costs=judged(blueprint.offers).costs,
    )


def _pooling(stage: Graph, number: int, head: Fitted) -> str | None:
    """The pooling of a head that was fitted elsewhere, where what crosses here can be pooled so."""
    return head.pooling if head.pooling in poolings(stage, number) else None


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
