"""The same points once more in pieces, for pipelines: cut where the pieces take equally long, without exits.

The pieces share their weights with the uncut form, which stays. They give the same answers: that is checked, and one
that does not is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import DataError, ExportError, ModelError
from edgehybrid.exporters.assemble import Chosen, golden_atol, golden_feeds
from edgehybrid.exporters.chains import Chain, ChainStage, LoadedChain, load_chain
from edgehybrid.exporters.depth import Cut, find_cuts, slice_chain
from edgehybrid.exporters.measure import largest_difference
from edgehybrid.exporters.model import open_session
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Candidate, Workshop
from edgehybrid.exporters.trial import Tools, time_runs
from edgehybrid.points import REFERENCE

Array = NDArray[np.generic]

_MOST_CUTS = 8  # that are timed
_TIMING_SHARE = 0.3  # of the seconds for timing all candidates, for each point
_EVEN_ENOUGH = 0.8  # what the longest piece of two may take of the whole


def split_points(
    chosen: Chosen, prepared: Prepared, workshop: Workshop, options: ExportOptions, tools: Tools, folder: Path
) -> Chosen:
    """Cut every chosen point that is in one piece, but for the reference, into ``options.stages`` pieces."""
    names = [name for name in chosen.names if name not in chosen.deep and name != REFERENCE]
    candidates = [c for name in names if (c := chosen.trial.candidate(name)).file is None]
    if options.stages < 2 or not candidates:
        return chosen
    found = find_cuts(workshop.best_float, prepared.components, prepared.probes, most=_MOST_CUTS)
    pieces: dict[str, LoadedChain] = {}
    dropped = []
    suffixes: dict[tuple[str, ...], str] = {}
    tools.progress.start(len(candidates), "pieces")
    for candidate in candidates:
        try:
            cuts = _even_cuts(candidate, found.cuts, prepared, options, tools)
            suffix = suffixes.setdefault(tuple(cut.name for cut in cuts), f"-{chr(ord('a') + len(suffixes))}")
            pieces[candidate.name] = _load(candidate, cuts, suffix, chosen, prepared, folder)
        except (DataError, ExportError, ModelError) as error:
            dropped.append(Dropped(name=f"{candidate.name} in pieces", reason=error.what))
        tools.progress.advance()
    return replace(chosen, pieces=pieces, dropped=(*chosen.dropped, *dropped))


def _even_cuts(
    candidate: Candidate, cuts: Sequence[Cut], prepared: Prepared, options: ExportOptions, tools: Tools
) -> tuple[Cut, ...]:
    """Choose cuts such that the longest piece takes least, by the time that leads to each of them.

    Raises:
        ExportError: There is no place to cut, or none that divides the time.
    """
    feeds = first_feeds(prepared.evaluation, 1)[0]
    runs: dict[str, Callable[[], object]] = {"uncut": _runner(candidate, feeds)}
    usable = []
    for cut in sorted(cuts, key=lambda cut: cut.share):
        try:
            before, _ = slice_chain(candidate.graph, [cut])
        except ExportError:
            continue
        runs[cut.name] = _runner(replace(candidate, graph=before), feeds)
        usable.append(cut)
    if len(usable) < options.stages - 1:
        raise ExportError(
            f"It can be cut at {len(usable)} places, too few for {options.stages} pieces.", "Ask for fewer."
        )
    key = ("pieces", candidate.graph.digest, *(cut.name for cut in usable), str(candidate.threads))
    times = time_runs(runs, key, tools, budget_s=_TIMING_SHARE * options.budget.timing_s, seed=options.seed)
    spent = {name: float(np.median(times.wall_s[:, times.column(name)])) for name in runs}
    whole = spent["uncut"]

    def longest(chain: tuple[Cut, ...]) -> float:
        return max(b - a for a, b in pairwise((0.0, *(spent[cut.name] for cut in chain), whole)))

    best = min(combinations(usable, options.stages - 1), key=longest)
    if longest(best) > _EVEN_ENOUGH * whole:
        raise ExportError(
            f"Cut at its best place, one piece still takes {longest(best) / whole:.0%} of the time.", "Use replicas."
        )
    return best


def _runner(candidate: Candidate, feeds: Mapping[str, Array]) -> Callable[[], object]:
    session = open_session(candidate.graph.proto)
    given = {item.name: feeds[item.name] for item in session.get_inputs()}
    return partial(session.run, None, given)


def _load(
    candidate: Candidate, cuts: Sequence[Cut], suffix: str, chosen: Chosen, prepared: Prepared, folder: Path
) -> LoadedChain:
    """Cut, write and load; then compare with the uncut form.

    Raises:
        ExportError: The pieces do not give what the whole gives.
    """
    graphs = slice_chain(candidate.graph, cuts)
    stages = tuple(
        ChainStage(name=f"piece-{number}-of-{len(graphs)}{suffix}", graph=graph)
        for number, graph in enumerate(graphs, 1)
    )
    chain = Chain(name=candidate.name, candidate=candidate, stages=stages)
    loaded = load_chain(chain, folder / "pieces" / candidate.name, candidate.threads)
    feeds = golden_feeds(prepared)
    whole = chosen.trial.sessions[candidate.name].run(feeds)
    allowed = golden_atol(whole, candidate.schemes, chosen.scores[candidate.name].max_deviation)
    for name, array in loaded.run_all(feeds)[-1].items():
        if (apart := largest_difference(array, whole[name])) > allowed[name]:
            raise ExportError(f"Its pieces differ from the whole by {apart:.3g} in {name!r}.", "Report the model.")
    return loaded
