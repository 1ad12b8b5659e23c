"""Exits: where they are offered, heads for them, and what is said where none is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, ExitInfo, Score
from edgehybrid.errors import ExportError, ModelError
from edgehybrid.exporters.assemble import Chosen
from edgehybrid.exporters.chains import Chain, ChainStage, load_chain
from edgehybrid.exporters.deepening import Armed, deepen
from edgehybrid.exporters.depth import (
    Cut,
    Head,
    attach_head,
    find_cuts,
    fit_head,
    fit_path,
    losses_along,
    mean_cost,
    poolings,
    slice_chain,
    with_features,
)
from edgehybrid.exporters.depth import Path as ThresholdPath
from edgehybrid.exporters.depth_figures import Losses
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.prepare import Prepared, calibration_batches, first_feeds
from edgehybrid.exporters.search import Candidate, Workshop
from edgehybrid.exporters.trial import Tools
from edgehybrid.points import REFERENCE
from edgehybrid.runtime.backends import Session

Float64Array = NDArray[np.float64]

NO_EXITS = "none"
EXITS = "exits"
"""Name under which a bundle says why it has no exits."""

_MOST_CHAINS = 2
_CLEARLY_SLOWER = 1.15
_LOOKED_AT = 64
_MOST_ROWS = 4000
_EXIT_COST = 0.04  # of a run of the model: the head and another session
_SECOND_EXIT = 0.03
_WORTH = 0.95  # of the cost of the uncut model


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the model answers.

    Attributes:
        output: Its only output.
        is_value: Whether that is a value; else one number for each class.
        probabilities: Whether the numbers of the classes are probabilities.
        losses: How an early answer is judged.
    """

    output: str
    is_value: bool
    probabilities: bool
    losses: Losses


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
    """Offer exits for the chosen candidates; each promise that measures worth it becomes a point."""
    if options.exits == NO_EXITS:
        return chosen
    task = find_task(chosen, prepared)
    if isinstance(task, str):
        return _without(chosen, task)
    candidates = worth_cutting(chosen)
    if not candidates:
        return _without(chosen, "no candidate beside the float model is kept, so that none is cut")
    found = find_cuts(workshop.best_float, prepared.components, prepared.probes)
    offers, whys = _offers(candidates[0], found.cuts, task, chosen, prepared, tools)
    cuts = choose_cuts(offers, min(options.exit_losses))
    if not cuts:
        near = [f"{skip.where}: {skip.why}" for skip in found.skipped[:2]]
        reason = "; ".join([*whys[:2], *near]) or "no head at any cut agrees with the model often enough to save time"
        return _without(chosen, reason)
    armed: list[Armed] = []
    dropped: list[Dropped] = []
    for candidate in candidates:
        made = _arm(candidate, cuts, task, chosen, prepared, folder)
        if isinstance(made, Dropped):
            dropped.append(made)
        else:
            armed.append(made)
    chosen = replace(chosen, dropped=(*chosen.dropped, *dropped))
    return deepen(chosen, armed, prepared, options, tools, max_drop=max_drop) if armed else chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A head at a cut."""

    cut: Cut
    head: Head
    loss: Float64Array  # of each calibration row, if it left here


def _offers(
    candidate: Candidate, cuts: Sequence[Cut], task: Task, chosen: Chosen, prepared: Prepared, tools: Tools
) -> tuple[list[Offer], list[str]]:
    """Fit a head at every cut of ``candidate``, with the pooling that agrees best."""
    full = _answers(chosen.trial.sessions[candidate.name], prepared, task)
    tools.progress.start(len(cuts), "heads")
    offers, whys = [], []
    for cut in sorted(cuts, key=lambda cut: cut.share):
        try:
            stage = slice_chain(candidate.graph, [cut])[0]
            head = _best_head([stage], full, prepared, task)
        except (ExportError, ModelError) as error:
            whys.append(error.what)
            head = None
        if head is not None:
            offers.append(Offer(cut=cut, head=head, loss=_loss(head, full, task)))
        tools.progress.advance()
    return offers, whys


def choose_cuts(offers: Sequence[Offer], epsilon: float) -> tuple[Cut, ...]:
    """The cut, or the two, with the least mean cost at a loss of ``epsilon``, as the calibration rows predict it."""
    sets: list[tuple[Offer, ...]] = [(offer,) for offer in offers]
    sets += [(a, b) for i, a in enumerate(offers) for b in offers[i + 1 :]]
    best: tuple[Offer, ...] = ()
    least = _WORTH
    for chosen in sets:
        path, confidences, losses, costs = _path(chosen)
        places = np.linspace(0.0, 1.0, 65)
        kept = [
            u
            for u, risk in zip(places, losses_along(path, places, confidences, losses).mean(axis=0), strict=True)
            if risk <= epsilon
        ]
        cost = mean_cost(path, float(max(kept, default=0.0)), confidences, costs)
        if cost < least - (_SECOND_EXIT if len(chosen) > 1 else 0.0):
            best, least = chosen, cost
    return tuple(offer.cut for offer in best)


def _path(offers: Sequence[Offer]) -> tuple[ThresholdPath, Float64Array, Float64Array, list[float]]:
    confidences = np.column_stack([offer.head.confidence for offer in offers])
    losses = np.column_stack([offer.loss for offer in offers])
    costs = [offer.cut.share + _EXIT_COST * (k + 1) for k, offer in enumerate(offers)] + [
        1.0 + _EXIT_COST * len(offers)
    ]
    return fit_path(confidences, losses, costs), confidences, losses, costs


def _arm(
    candidate: Candidate, cuts: Sequence[Cut], task: Task, chosen: Chosen, prepared: Prepared, folder: Path
) -> Armed | Dropped:
    """Cut ``candidate`` into stages, fit their heads on its own features, and load the chain."""
    full = _answers(chosen.trial.sessions[candidate.name], prepared, task)
    cuts = sorted(cuts, key=lambda cut: cut.share)
    stages: list[ChainStage] = []
    offers: list[Offer] = []
    try:
        graphs = slice_chain(candidate.graph, cuts)
        for number, (cut, graph) in enumerate(zip(cuts, graphs, strict=False), 1):
            head = _best_head(graphs[:number], full, prepared, task)
            if head is None:
                raise ExportError(f"No features fit behind {cut.name!r}.", "Leave this cut out.")
            offers.append(Offer(cut=cut, head=head, loss=_loss(head, full, task)))
            stages.append(
                ChainStage(
                    name=f"part-{number}",
                    graph=attach_head(graph, head, number, task.output),
                    exit=_exit_info(head, cut, number, task),
                )
            )
        stages.append(ChainStage(name=f"part-{len(graphs)}", graph=graphs[-1]))
        chain = Chain(name=candidate.name, candidate=candidate, stages=tuple(stages))
        loaded = load_chain(chain, folder / "chains" / candidate.name, candidate.threads)
    except (ExportError, ModelError) as error:
        return Dropped(name=f"{candidate.name}~", reason=f"exits: {error.what}")
    return Armed(loaded=loaded, path=_path(offers)[0], losses=task.losses)


def _exit_info(head: Head, cut: Cut, number: int, task: Task) -> ExitInfo:
    width = len(head.affine.weight)
    return ExitInfo(
        outputs={task.output: f"exit{number}_{task.output}"},
        confidence=f"exit{number}_confidence",
        score=cast(Score, head.score),
        head="fitted",
        after=cut.component,
        cost_share=cut.share,
        agreement=head.agreement,
        made_of=f"ridge on {width} features ({head.pooling})",
    )


def _best_head(stages: Sequence[Graph], full: Float64Array, prepared: Prepared, task: Task) -> Head | None:
    """The head behind the last of ``stages`` that ranks its failures best, over all poolings."""
    number = len(stages)
    kinds = poolings(stages[-1], number)
    if not kinds:
        return None
    sessions = [open_session(graph.proto) for graph in (*stages[:-1], with_features(stages[-1], number, kinds))]
    found: list[list[NDArray[np.generic]]] = []
    for feeds in islice(calibration_batches(prepared.calibration, 1), _MOST_ROWS):
        values = dict(feeds)
        for session in sessions:
            names = [item.name for item in session.get_outputs()]
            given = {item.name: values[item.name] for item in session.get_inputs()}
            values |= dict(zip(names, session.run(names, given), strict=True))
        found.append([values[f"features_{i}"] for i in range(len(kinds))])
    form = "value" if task.is_value else "probabilities" if task.probabilities else "logits"
    heads = [
        fit_head(np.concatenate([row[i] for row in found]).astype(np.float64), full, pooling=kind, form=form)
        for i, kind in enumerate(kinds)
    ]
    return min(heads, key=lambda head: min(head.aurc.values()))


def _answers(session: Session, prepared: Prepared, task: Task) -> Float64Array:
    rows = islice(calibration_batches(prepared.calibration, 1), _MOST_ROWS)
    return np.array([np.asarray(session.run(feeds)[task.output], dtype=np.float64).reshape(-1) for feeds in rows])


def _loss(head: Head, full: Float64Array, task: Task) -> Float64Array:
    """Loss of each calibration row, out of fold: there are no labels to be had, so a class is another or the same."""
    if task.is_value:
        return np.asarray(np.minimum(np.abs(head.answers - full).mean(axis=1) / task.losses.bound, 1.0))
    return np.asarray(head.answers.argmax(axis=1) != full.argmax(axis=1), dtype=np.float64)


def _without(chosen: Chosen, why: str) -> Chosen:
    return replace(chosen, dropped=(*chosen.dropped, Dropped(name=EXITS, reason=why)))


def find_task(chosen: Chosen, prepared: Prepared) -> Task | str:
    """What the model answers, or why no exit can be offered for it."""
    outputs = prepared.model.outputs
    if len(outputs) != 1:
        return f"the model has {len(outputs)} outputs; exits are made for one: classes, or a value"
    (output,) = outputs
    if output.dtype != "float32":
        return f"{output.name!r} is {output.dtype}; exits are made for classes or values in float32"
    session = chosen.trial.sessions[REFERENCE]
    feeds = first_feeds(prepared.calibration, _LOOKED_AT)
    answers = [np.asarray(session.run(row)[output.name], dtype=np.float64) for row in feeds]
    if any(answer.ndim > 2 or answer.shape[:1] not in ((1,), ()) for answer in answers):
        return (
            f"{output.name!r} has shape {list(answers[0].shape)}: a sequence or a map; exits need one answer an input"
        )
    values = np.stack([answer.reshape(-1) for answer in answers])
    if values.shape[1] == 1:
        spread = float(np.subtract(*np.percentile(values, (95, 5)))) or 1.0
        losses = Losses(kind="deviation", bound=spread)
        return Task(output=output.name, is_value=True, probabilities=False, losses=losses)
    sums = values.sum(axis=1)
    probabilities = bool((values >= 0).all() and np.allclose(sums, 1.0, atol=1e-3))
    labelled = prepared.metric.name == "accuracy"
    losses = Losses(kind="error" if labelled else "disagreement")
    return Task(output=output.name, is_value=False, probabilities=probabilities, losses=losses)


def worth_cutting(chosen: Chosen) -> tuple[Candidate, ...]:
    """Candidates that get exits: the fastest, and the best one where it is clearly slower."""
    names = [name for name in chosen.names if name != REFERENCE]
    if not names:
        return ()
    wall = {name: float(np.median(chosen.figures[name].wall_s)) for name in names}
    fastest = min(names, key=wall.__getitem__)
    picked = [fastest]
    if names[0] != fastest and wall[names[0]] > _CLEARLY_SLOWER * wall[fastest]:
        picked.append(names[0])
    return tuple(chosen.trial.candidate(name) for name in picked[:_MOST_CHAINS])
