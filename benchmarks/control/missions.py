"""Longer missions: a battery that must last, heat from 22 to 36 °C, and the linear program without noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from benchmarks.control.protocol import slowdown_of
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy
from edgehybrid.runtime.simulation import (
    Ambient,
    Board,
    Contention,
    Document,
    Load,
    Mission,
    Pack,
    Random,
    Result,
    Scenario,
    run_study,
)

AMBIENTS_C = tuple(range(22, 38, 2))
BATTERY_RUNS = 12
LASTING, LASTING_RUNS = ("family",), 112  # the other work's points hardly differ in energy
_IDLE_W = 0.8  # a board that was tuned for a battery
_ANSWERED = 0.999
_BATTERY_H, _HEAT_H = 3.0, 0.4
_RATE_HZ = 1.5
_NONE = Random(model_error=0.0, runs=1)
Advance = Callable[[], object]
Figures = Mapping[str, Mapping[str, float]]


def battery(
    points: Sequence[OperatingPoint], policy: Policy, names: Sequence[str], advance: Advance, runs: int = BATTERY_RUNS
) -> dict[str, dict[str, float]]:
    """Three hours on a battery that holds the idle board and about half of what the best point takes."""
    slowdown = slowdown_of(points)
    energies = [point.energy_mj.value * slowdown / 1e3 for point in points]
    inputs = _BATTERY_H * 3600 * _RATE_HZ
    capacity_wh = (_IDLE_W * _BATTERY_H + inputs * (min(energies) + max(energies)) / 2 / 3600) * 1.04
    doc = Document(
        schema=1,
        device=Board(profile="raspberry-pi-4b", case="fan", slowdown=slowdown, idle_w=_IDLE_W),
        load=Load(rate_hz=_RATE_HZ),
        battery=Pack(capacity_wh=capacity_wh, gauge_step_pct=2.0),
        mission=Mission(duration_h=_BATTERY_H, deadline_ms=800.0, last_until_end=True),
        random=Random(seed=7, runs=runs, model_error=0.1),
    )
    study = run_study(
        Scenario(name="battery", doc=doc), points, policy, controllers=names, interval_s=5.0, advance=advance
    )
    feasible = [o.died_h is None and o.answered > _ANSWERED * o.inputs for o in study.result("oracle").outcomes]
    oracle = study.result("oracle")
    return {result.name: _lasting(result, oracle, feasible) for result in study.results}


def _lasting(result: Result, oracle: Result, feasible: Sequence[bool]) -> dict[str, float]:
    """Figures over the draws in which the oracle answers everything to the end; what was lost, where it lasted."""
    pairs = [(o, lost) for o, lost, ok in zip(result.outcomes, result.lost, feasible, strict=True) if ok]
    above = [
        (mine.battery_pct or 0.0) - (best.battery_pct or 0.0)
        for mine, best, ok in zip(result.outcomes, oracle.outcomes, feasible, strict=True)
        if ok and mine.died_h is None
    ]
    lost_pt = [100 * lost for o, lost in pairs if o.died_h is None] or [float("nan")]
    return {
        "draws": float(len(pairs)),
        "lasted": float(np.mean([o.died_h is None for o, _ in pairs])),
        "lost_pt": float(np.mean(lost_pt)),
        "worst_lost_pt": float(np.max(lost_pt)),
        "above_oracle_pct": float(np.mean(above or [float("nan")])),
        "most_above_oracle_pct": float(np.max(above or [float("nan")])),
        "left_pct": float(np.mean([o.battery_pct or 0.0 for o, _ in pairs])),
        "switches_per_10s": float(np.mean([o.switches for o, _ in pairs])) / _BATTERY_H / 360.0,
    }


def ambient(
    points: Sequence[OperatingPoint], policy: Policy, names: Sequence[str], advance: Advance
) -> dict[str, dict[str, float]]:
    """A bare board with three busy neighbours from 22 to 36 °C: throttled time, heat, quality beside the oracle's."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for celsius in AMBIENTS_C:
        doc = Document(
            schema=1,
            device=Board(profile="raspberry-pi-4b", slowdown=1.6 * slowdown_of(points)),
            ambient=Ambient(celsius=float(celsius)),
            load=Load(rate_hz=2.0),
            contention=Contention(model="compute", cores=3.0, mean_on_s=1e9, mean_off_s=1e-3),
            mission=Mission(duration_h=_HEAT_H, deadline_ms=1000.0),
            random=Random(seed=celsius, runs=2, model_error=0.05),
        )
        study = run_study(
            Scenario(name="heat", doc=doc), points, policy, controllers=names, interval_s=2.0, advance=advance
        )
        for result in study.results:
            for mine, best in zip(result.outcomes, study.result("oracle").outcomes, strict=True):
                row = (mine.throttled, mine.max_temp_c, mine.worth / best.worth, mine.switches / _HEAT_H / 360.0)
                rows.setdefault(result.name, []).append(row)
    return {
        name: {
            "throttled": float(np.mean([row[0] for row in found])),
            "hottest_c": max(row[1] for row in found),
            "quality_to_oracle": float(np.mean([row[2] for row in found])),
            "switches_per_10s": float(np.mean([row[3] for row in found])),
        }
        for name, found in rows.items()
    }


def two_points(points: Sequence[OperatingPoint], policy: Policy, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Quality goals between two points, no noise: energy beside the linear program's, which mixes two."""
    quality = sorted({point.quality.value for point in points})
    goals = [low + share * (high - low) for low, high in pairwise(quality) for share in (0.3, 0.7)]
    rows: dict[str, list[tuple[float, bool]]] = {}
    for goal in goals:
        doc = Document(
            schema=1,
            device=Board(profile="raspberry-pi-4b", case="fan", slowdown=slowdown_of(points)),
            mission=Mission(duration_h=0.2, deadline_ms=2000.0, min_quality=goal),
            random=_NONE,
        )
        study = run_study(Scenario(name="mix", doc=doc), points, policy, controllers=names, interval_s=1.0)
        best = study.result("oracle").outcomes[0]
        for result in study.results:
            mine = result.outcomes[0]
            rows.setdefault(result.name, []).append((mine.ours_j / best.ours_j - 1, mine.worth < goal - 0.002))
    return {
        name: {
            "more_energy": float(np.mean([row[0] for row in found])),
            "missed": float(np.mean([r[1] for r in found])),
        }
        for name, found in rows.items()
    }
