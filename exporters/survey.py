"""The survey: what each scheme does to each component alone, on calibration data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgehybrid.exporters.options import Budget
from edgehybrid.exporters.precision import Method
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.progress import Silent
from edgehybrid.exporters.search import Plan, Sensitivity, Workshop, alone
from edgehybrid.exporters.trial import Tools, open_trial, score_all, seconds_alone, time_all
from edgehybrid.points import REFERENCE

AT_ONCE = 8  # graphs open together, so that memory does not grow with their number
SAMPLES = 64
_FEW_ROUNDS = 12


def survey(
    prepared: Prepared,
    workshop: Workshop,
    tools: Tools,
    budget: Budget,
    *,
    schemes: Sequence[str],
    methods: Sequence[Method],
    seed: int,
) -> tuple[Sensitivity, ...]:
    """Measure one scheme on one component at a time, the costly components first, as many as the time allows.

    Args:
        prepared: Model and data.
        workshop: Makes the graphs; its original is its own float graph, which they are compared with.
        tools: Cache, executor, progress.
        budget: How long.
        schemes: Those to look at.
        methods: Ways of calibrating to try.
        seed: Of the order of runs.
    """
    weights = {info.name: (info.macs, info.params) for info in prepared.report.components}
    plans = alone(workshop.components, methods, schemes)

    def costly(plan: Plan) -> tuple[int, int]:
        return weights.get(workshop.whole.get(next(iter(plan.recipe)), ""), (0, 0))

    ordered = sorted(plans, key=costly, reverse=True)
    most = max(int(budget.survey_s / (_FEW_ROUNDS * seconds_alone(prepared, tools.cache))), 4)
    if len(ordered) > most:
        tools.progress.note(f"looks at {most} of {len(ordered)} pairs of component and scheme, the costly ones first")
    if not ordered:
        return ()
    groups = [ordered[first : first + AT_ONCE] for first in range(0, min(most, len(ordered)), AT_ONCE)]
    tools.progress.start(len(groups), "each component alone")
    quiet = replace(tools, progress=Silent())
    found: list[Sensitivity] = []
    for group in groups:
        found += _measure(group, prepared, workshop, quiet, budget_s=budget.survey_s / len(groups), seed=seed)
        tools.progress.advance()
    return tuple(found)


def _measure(
    group: Sequence[Plan], prepared: Prepared, workshop: Workshop, tools: Tools, *, budget_s: float, seed: int
) -> list[Sensitivity]:
    built = workshop.build(group)
    if len(built.candidates) < 2:
        return []
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        trial = open_trial(built.candidates, Path(folder))
        scores = score_all(trial, prepared.calibration, None, tools, wanted=SAMPLES)
        timings = time_all(trial, prepared.calibration, tools, budget_s=budget_s, seed=seed)
        size = trial.packed.size_bytes
    float_size = max(size[REFERENCE], 1)
    found = []
    for candidate in trial.candidates:
        name, plan = candidate.name, candidate.plan
        if name == REFERENCE or not scores[name].finite:
            continue
        ((component, scheme),) = plan.recipe.items()
        found.append(
            Sensitivity(
                component=component,
                scheme=scheme,
                method=plan.method,
                speedup=timings.speedup(name, REFERENCE, seed),
                sqnr_db=scores[name].sqnr_db,
                size_share=(size[name] - float_size) / float_size,
            )
        )
    return found
