"""Whether promises hold, and whether the run-time scalar moves one way only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.depth.works import Arrays, open_plan, row_feeds
from edgehybrid.bundle import Bundle
from edgehybrid.exporters.depth import Path, Refusal, certify, depths, fit_path, losses_along
from edgehybrid.points import OperatingPoint
from edgehybrid.quality.intervals import wilson

Floats = NDArray[np.float64]

DELTA, SPLITS = 0.1, 200
EPSILONS = (0.02, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Every row at every exit: confidence and loss ``(n, exits)``; whether each depth is right ``(n, exits + 1)``."""

    sure: Floats
    lost: Floats
    right: Floats


def look(bundle: Bundle, point: OperatingPoint, data: Arrays) -> Seen:
    """Run all rows to full depth. A loss is an input that full depth gets right and the exit wrong."""
    plan = open_plan(bundle, point, None)
    (output,) = (spec.name for spec in bundle.doc.model.outputs)
    exits = [stage.exit for stage in plan.stages if stage.exit is not None]
    sure, right = [], []
    for feeds, label in zip(row_feeds(bundle, data), data["labels"], strict=True):
        values = dict(feeds)
        for stage in plan.stages:
            values |= stage.session.run({spec.name: values[spec.name] for spec in stage.session.inputs})
        sure.append([float(values[exit_.confidence].item()) for exit_ in exits])
        answers = [*(values[exit_.outputs[output]] for exit_ in exits), values[output]]
        right.append([float(answer.argmax() == label) for answer in answers])
    correct = np.array(right)
    return Seen(sure=np.array(sure), lost=np.maximum(correct[:, -1:] - correct[:, :-1], 0.0), right=correct)


def guarantee(bundle: Bundle, point: OperatingPoint, fitting: Arrays, data: Arrays) -> list[dict[str, Any]]:
    """How often thresholds from one part of the data lose more than promised, by what is counted as the risk.

    ``draws``: so many rows drawn with replacement promise; the risk is that over all rows, which they were drawn from.
    This is what the promise says. ``halves``: one half promises, the other half's mean loss is counted; its own chance
    counts in it, and what one half lacks the other has.
    """
    fit = look(bundle, point, fitting)
    path = fit_path(fit.sure, fit.lost, [depth.latency_ms for depth in point.depths])
    seen = look(bundle, point, data)
    return [_broken(path, seen, epsilon, kind) for epsilon in EPSILONS for kind in ("draws", "halves")]


def _broken(path: Path, seen: Seen, epsilon: float, kind: str) -> dict[str, Any]:
    rng, n = np.random.default_rng(0), len(seen.sure)
    broken, promised, risks = 0, 0, []
    for _ in range(SPLITS):
        order = rng.permutation(n)
        inside, outside = order[: n // 2], order[n // 2 :]
        if kind == "draws":
            inside, outside = rng.integers(0, n, n), np.arange(n)
        found = certify(path, seen.sure[inside], seen.lost[inside], epsilon, DELTA)
        if isinstance(found, Refusal):
            continue
        promised += 1
        losses = losses_along(path, np.array([found.u]), seen.sure[outside], seen.lost[outside])
        risks.append(float(losses.mean()))
        broken += risks[-1] > epsilon
    low, high = wilson(float(broken), max(promised, 1))
    return {
        "risk": kind,
        "epsilon": epsilon,
        "delta": DELTA,
        "rows": n,
        "splits": SPLITS,
        "promised": promised,
        "broken_share": broken / max(promised, 1),
        "ci95": [round(low, 4), round(high, 4)],
        "mean_risk": round(float(np.mean(risks)), 5) if risks else None,
    }


def scalar(bundle: Bundle, point: OperatingPoint, data: Arrays) -> list[dict[str, float]]:
    """Quality, with its interval, and mean latency by the point's own figures, as the scalar goes from 0 to 1."""
    seen, rows = look(bundle, point, data), []
    costs = np.array([depth.latency_ms for depth in point.depths])
    for place in np.linspace(0, 1, 9):
        thresholds = np.array([exit_.threshold(float(place)) for exit_ in point.exits.values()])
        taken = depths(thresholds, seen.sure)
        right = seen.right[np.arange(len(taken)), taken]
        low, high = wilson(float(right.sum()), len(right))
        rows.append(
            {
                "scalar": float(place),
                "accuracy": round(float(right.mean()), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "mean_ms": round(float(costs[taken].mean()), 4),
                "mean_depth": round(float(taken.mean() + 1), 3),
            }
        )
    return rows
