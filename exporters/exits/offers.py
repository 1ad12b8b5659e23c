"""Heads at the cuts of a candidate: fitted on all poolings, timed where they will run, judged out of fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError, ExportError, ModelError
from edgehybrid.exporters.depth import (
    Cut,
    Fitted,
    attach_spec,
    crossing_alone,
    fit_heads,
    poolings,
    slice_chain,
    spec_of,
    with_features,
)
from edgehybrid.exporters.depth.heads import Kind
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.figures import Losses
from edgehybrid.exporters.exits.rows import Rows
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.search import Candidate
from edgehybrid.exporters.trial import time_runs
from edgehybrid.runtime.backends import Session

Array = NDArray[np.generic]
Float64Array = NDArray[np.float64]

_TIMING_SHARE = 0.3  # of the seconds for timing all candidates
_HEADS = 3  # of so many poolings at each cut: the best one may cost more time than it saves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # by identity: arrays are not equal or unequal
class Offer:
    """A head at a cut.

    Attributes:
        cut: Where.
        head: The head.
        losses: What each row, input or variation, loses by leaving there, out of fold: shape ``(rows,)``.
        early: Time to its answer, as a share of a run of the uncut candidate.
        whole: Time of both sides of the cut and the head, in the same unit: 1 and what the cut costs.
    """

    cut: Cut
    head: Fitted
    losses: Float64Array
    early: float
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What was found, shallowest first, and why other cuts have no head."""

    found: tuple[Offer, ...]
    whys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Headed:
    """A cut with its head, and the graphs of both sides."""

    cut: Cut
    head: Fitted
    before: Graph
    behind: Graph


def make_offers(case: Case, candidate: Candidate, cuts: Sequence[Cut], full: Float64Array) -> Offers:
    """Fit a head at every cut of ``candidate`` and see what it costs.

    Args:
        case: The export.
        candidate: What is cut.
        cuts: Where.
        full: Its own answers to the rows, shape ``(rows, outputs)``.
    """
    case.tools.progress.start(len(cuts), "heads")
    headed, whys = [], []
    for cut in sorted(cuts, key=lambda cut: cut.share):
        try:
            before, behind = slice_chain(candidate.graph, [cut])
            for head in heads_behind(case, [before], full, most=_HEADS):
                graph = attach_spec(before, spec_of(head), 1, case.task.output)
                headed.append(_Headed(cut=cut, head=head, before=graph, behind=behind))
        except (DataError, ExportError, ModelError) as error:
            whys.append(error.what)
        case.tools.progress.advance()
    if not headed:
        return Offers(found=(), whys=tuple(whys))
    shares = _shares(case, candidate, headed)
    found = [
        Offer(cut=h.cut, head=h.head, losses=head_losses(h.head, full, case.task.losses), early=early, whole=whole)
        for h, (early, whole) in zip(headed, shares, strict=True)
    ]
    return Offers(found=tuple(sorted(found, key=lambda offer: offer.early)), whys=tuple(whys))


def heads_behind(
    case: Case, stages: Sequence[Graph], full: Float64Array, *, most: int, pooling: str | None = None
) -> tuple[Fitted, ...]:
    """Fit heads behind the last of ``stages``; those that rank their failures best, on ``pooling`` or on any.

    Raises:
        DataError: No basis for a head: too few rows, or features that are no numbers.
        ExportError: Nothing that crosses can be pooled.
        ModelError: A stage does not run.
    """
    number = len(stages)
    kinds = tuple(kind for kind in poolings(stages[-1], number) if pooling in (None, kind))
    if not kinds:
        raise ExportError("What crosses has no fixed shape to pool.", "Fix it with --shape.")
    features = _features([*stages[:-1], with_features(stages[-1], number, kinds)], kinds, case.rows)
    return fit_heads(features, full, case.task.kind, groups=case.rows.groups, most=most, seed=case.options.seed)


def heads_on(
    rows: Rows,
    sessions: Sequence[Session],
    stages: Sequence[Graph],
    full: Float64Array,
    kind: Kind,
    *,
    pooled: Sequence[str],
    seed: int,
) -> list[Fitted]:
    """Fit a head on what each loaded stage gives, whatever back end runs it.

    Args:
        rows: What to fit on.
        sessions: Stages one behind the other; they hand over floats.
        stages: The same as slices of the float graph.
        full: Answers to the rows, shape ``(rows, outputs)``.
        kind: What they are.
        pooled: How the head behind each stage pools.
        seed: Of folds and bootstrap.

    Raises:
        DataError: No basis for a head.
        BackendError: A stage failed.
    """
    pools = [
        open_session(with_features(crossing_alone(stage, number), number, [pooling]).proto)
        for number, (stage, pooling) in enumerate(zip(stages, pooled, strict=True), 1)
    ]
    found: list[list[Array]] = [[] for _ in sessions]
    for feeds in rows:
        values = dict(feeds)
        for session, pool, column in zip(sessions, pools, found, strict=True):
            values |= session.run({spec.name: values[spec.name] for spec in session.inputs})
            given = {item.name: values[item.name] for item in pool.get_inputs()}
            column.append(np.array(pool.run(["features_0"], given)[0]))
    heads: list[Fitted] = []
    for pooling, column in zip(pooled, found, strict=True):
        features = {pooling: np.concatenate(column).astype(np.float64)}
        heads += fit_heads(features, full, kind, groups=rows.groups, most=1, seed=seed)
    return heads


def head_losses(head: Fitted, full: Float64Array, losses: Losses) -> Float64Array:
    """Loss of each row: there are no labels to be had, so a class is another one or the same. Shape ``(rows,)``."""
    if head.kind == "value":
        return np.asarray(np.minimum(np.abs(head.all_answers - full).mean(axis=1) / losses.bound, 1.0))
    return np.asarray(head.all_answers.argmax(axis=1) != full.argmax(axis=1), dtype=np.float64)


def _features(graphs: Sequence[Graph], kinds: Sequence[str], rows: Rows) -> dict[str, Float64Array]:
    sessions = [open_session(graph.proto) for graph in graphs]
    wanted = [f"features_{i}" for i in range(len(kinds))]
    names = [[item.name for item in session.get_outputs()] for session in sessions[:-1]] + [wanted]
    inputs = [[item.name for item in session.get_inputs()] for session in sessions]
    found: list[list[Array]] = [[] for _ in kinds]
    for feeds in rows:
        values = dict(feeds)
        for session, outputs, given in zip(sessions, names, inputs, strict=True):
            values |= dict(zip(outputs, session.run(outputs, {name: values[name] for name in given}), strict=True))
        for column, name in zip(found, wanted, strict=True):
            column.append(values[name])
    return {kind: np.concatenate(column).astype(np.float64) for kind, column in zip(kinds, found, strict=True)}


def _shares(case: Case, candidate: Candidate, headed: Sequence[_Headed]) -> list[tuple[float, float]]:
    """Time of the part with the head, and of both parts, beside the uncut candidate; interleaved."""
    feeds, options = next(iter(case.rows)), case.options
    runs: dict[str, Callable[[], object]] = {"uncut": _run(candidate.graph, feeds)[0]}
    for number, item in enumerate(headed):
        runs[f"{number} before"], values = _run(item.before, feeds)
        if f"behind {item.cut.name}" not in runs:  # the same for all heads of a cut
            runs[f"behind {item.cut.name}"] = _run(item.behind, {**feeds, **values})[0]
    key = ("cuts", candidate.graph.digest, *(h.before.digest for h in headed), case.rows.samples.sha256)
    budget_s = _TIMING_SHARE * options.budget.timing_s
    times = time_runs(runs, key, case.tools, budget_s=budget_s, seed=options.seed)
    uncut = times.wall_s[:, times.column("uncut")]
    found = []
    for number, item in enumerate(headed):
        before, behind = (
            times.wall_s[:, times.column(name)] for name in (f"{number} before", f"behind {item.cut.name}")
        )
        found.append((float(np.median(before / uncut)), float(np.median((before + behind) / uncut))))
    return found


def _run(graph: Graph, feeds: Mapping[str, Array]) -> tuple[Callable[[], object], dict[str, Array]]:
    session = open_session(graph.proto)
    names = [item.name for item in session.get_outputs()]
    given = {item.name: feeds[item.name] for item in session.get_inputs()}
    return partial(session.run, names, given), dict(zip(names, session.run(names, given), strict=True))
