"""Longer missions: a battery that must last, heat from 22 to 36 °C, and the linear program without noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from benchmarks.control.protocol import slowdown_of
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy
from edgehybrid.runtime.control import Controller, lasting
from edgehybrid.runtime.control.fuel import RESERVE
from edgehybrid.runtime.simulation import (
    Ambient,
    Board,
    Contention,
    Document,
    Load,
    Mission,
    Outcome,
    Pack,
    Random,
    Scenario,
    draw_world,
    drive,
    run_study,
)
from edgehybrid.runtime.simulation.study import OURS, believed_device, make_driver, make_task

AMBIENTS_C = tuple(range(22, 38, 2))
BATTERY_RUNS = 12
LASTING_RUNS = 112
_IDLE_W = 0.8  # a board that was tuned for a battery
_ANSWERED = 0.999
_BATTERY_H, _HEAT_H = 3.0, 0.4
_BATTERY_INTERVAL_S = 5.0
RESERVE_PCT = 100.0 * RESERVE
_RATE_HZ = 1.5
_NONE = Random(model_error=0.0, runs=1)
Advance = Callable[[], object]
Figures = Mapping[str, Mapping[str, float]]


def battery(
    points: Sequence[OperatingPoint], policy: Policy, names: Sequence[str], advance: Advance, runs: int = BATTERY_RUNS
) -> dict[str, dict[str, float]]:
    """Three hours on a battery that holds the idle board and about half of what the best point takes."""
    study = run_study(
        _day(points, runs), points, policy, controllers=names, interval_s=_BATTERY_INTERVAL_S, advance=advance
    )
    oracle, blind = (study.result(name).outcomes for name in ("oracle", "oracle-blind"))
    return {result.name: _lasting(result.outcomes, oracle, blind) for result in study.results}


def second_day(points: Sequence[OperatingPoint], policy: Policy, runs: int) -> dict[str, float]:
    """The same mission again, the battery recharged, with what the first day taught.

    Board and battery are those of the first day; inputs, drift and the gauge's error are drawn anew.
    """
    scenario = _day(points, runs)
    task, device = make_task(scenario, points, policy), believed_device(scenario)
    mine: list[Outcome] = []
    best: list[Outcome] = []
    blind: list[Outcome] = []
    for run in range(runs):
        first, other = draw_world(scenario, points, run), draw_world(scenario, points, runs + run)
        kept = {name: getattr(first, name) for name in ("device", "heat", "pack", "speed", "sensitivity")}
        controller = make_driver(OURS, first, task)
        assert isinstance(controller, Controller)
        drive(first, points, controller, believed=device, interval_s=_BATTERY_INTERVAL_S)
        second = replace(other, **kept)
        taught = Controller(points, device, policy, state=lasting(controller.state))
        mine.append(drive(second, points, taught, believed=device, interval_s=_BATTERY_INTERVAL_S))
        for name, found in (("oracle", best), ("oracle-blind", blind)):
            script = make_driver(name, second, task)
            found.append(drive(second, points, script, believed=device, interval_s=_BATTERY_INTERVAL_S))
    return _lasting(mine, best, blind)


def _day(points: Sequence[OperatingPoint], runs: int) -> Scenario:
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
    return Scenario(name="battery", doc=doc)


def _lasting(outcomes: Sequence[Outcome], best: Sequence[Outcome], blind: Sequence[Outcome]) -> dict[str, float]:
    """Figures over the draws in which both oracles answer everything to the end; what was lost, where it lasted.

    Where only the one answers everything that knows which input is easy, the cheapest point alone empties the battery.
    """
    pairs = [
        (mine, oracle)
        for mine, oracle, unknowing in zip(outcomes, best, blind, strict=True)
        if all(one.died_h is None and one.answered > _ANSWERED * one.inputs for one in (oracle, unknowing))
    ]
    whole = [(mine, oracle) for mine, oracle in pairs if mine.died_h is None]
    above = [(mine.battery_pct or 0.0) - (oracle.battery_pct or 0.0) for mine, oracle in whole] or [float("nan")]
    beyond = [(mine.battery_pct or 0.0) - max(oracle.battery_pct or 0.0, RESERVE_PCT) for mine, oracle in whole] or [
        float("nan")
    ]
    lost_pt = [100 * (oracle.worth - mine.worth) for mine, oracle in whole] or [float("nan")]
    return {
        "draws": float(len(pairs)),
        "lasted": float(np.mean([o.died_h is None for o, _ in pairs])),
        "lost_pt": float(np.mean(lost_pt)),
        "worst_lost_pt": float(np.max(lost_pt)),
        "above_oracle_pct": float(np.mean(above)),
        "above_plan_pct": float(np.mean(beyond)),
        "most_above_oracle_pct": float(np.max(above)),
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
    """Quality goals between two points, no model error: energy beside the linear program's, which mixes two.

    POET's program knows what every option brings and takes on average, as ``oracle-blind`` does; ``oracle`` also knows
    which input is an easy one, so where points have exits no mixture of two comes near it.
    """
    quality = sorted({point.quality.value for point in points})
    goals = [low + share * (high - low) for low, high in pairwise(quality) for share in (0.3, 0.7)]
    rows: dict[str, list[tuple[float, float, bool]]] = {}
    for goal in goals:
        doc = Document(
            schema=1,
            device=Board(profile="raspberry-pi-4b", case="fan", slowdown=slowdown_of(points)),
            mission=Mission(duration_h=0.2, deadline_ms=2000.0, min_quality=goal),
            random=_NONE,
        )
        study = run_study(Scenario(name="mix", doc=doc), points, policy, controllers=names, interval_s=1.0)
        program, best = (study.result(name).outcomes[0].ours_j for name in ("oracle-blind", "oracle"))
        for result in study.results:
            mine = result.outcomes[0]
            row = (mine.ours_j / program - 1, mine.ours_j / best - 1, mine.worth < goal - 0.002)
            rows.setdefault(result.name, []).append(row)
    return {
        name: {
            "more_than_program": float(np.mean([row[0] for row in found])),
            "more_energy": float(np.mean([row[1] for row in found])),
            "missed": float(np.mean([row[2] for row in found])),
        }
        for name, found in rows.items()
    }
