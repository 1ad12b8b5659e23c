"""ALERT's protocol: constraint settings times contention, each violated when more than a tenth of the inputs are late.

Deadlines are 0.4 to 2 times the mean latency of the largest point, goals lie between the extremes of the points: three
of quality (least energy wins) and three of energy (best quality wins). Environments: none, compute, memory, starting
and stopping at random. Recalled from Wan et al., USENIX ATC 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy
from edgehybrid.runtime.simulation import (
    Ambient,
    Board,
    Contention,
    Document,
    Load,
    Mission,
    Outcome,
    Random,
    Scenario,
    run_study,
)

DEADLINES = (0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
SHARES = (0.25, 0.5, 0.75)
ENVIRONMENTS = ("none", "compute", "memory")
LARGEST_S = 0.25
"""Mean latency of the largest point on the board."""

_HOURS = 0.1
_LATE = 0.1
_QUALITY_SLACK = 0.005
_ENERGY_SLACK = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A deadline over the largest latency, and a goal of quality or of energy."""

    environment: str
    deadline: float
    min_quality: float | None = None
    energy_mj: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One controller in one setting.

    Attributes:
        late: Whether the deadline was violated.
        missed: Whether the goal was missed.
        energy: Of an inference, over the dynamic oracle's; ``None`` in settings of an energy goal.
        error: Over the dynamic oracle's; ``None`` in settings of a quality goal.
        static: The same figure over the static oracle's.
        blind: The same over that of the oracle that does not know an input before it has run.
        equal: Energy over that of the dynamic oracle for the very quality that this controller reached, or error over
            its error for the very energy that it took; ``None`` where it was late.
        equal_blind: The same over the blind oracle's.
        switches: In ten seconds.
    """

    setting: Setting
    name: str
    late: bool
    missed: bool
    energy: float | None
    error: float | None
    static: float
    blind: float
    equal: float | None
    equal_blind: float | None
    switches: float


def settings(points: Sequence[OperatingPoint]) -> tuple[Setting, ...]:
    """Return 42 settings in each environment."""
    slowdown = slowdown_of(points)
    quality = [point.quality.value for point in points]
    energy = [point.energy_mj.value * slowdown for point in points]
    found = []
    for environment in ENVIRONMENTS:
        for deadline in DEADLINES:
            for share in SHARES:
                goal = min(quality) + share * (max(quality) - min(quality))
                found.append(Setting(environment=environment, deadline=deadline, min_quality=goal))
                budget = min(energy) + share * (max(energy) - min(energy))
                found.append(Setting(environment=environment, deadline=deadline, energy_mj=budget))
    return tuple(found)


def slowdown_of(points: Sequence[OperatingPoint]) -> float:
    """Return what makes the largest point take ``LARGEST_S``."""
    return LARGEST_S * 1e3 / max(point.latency_ms.mean or point.latency_ms.p50 for point in points)


def scenario_of(
    setting: Setting, points: Sequence[OperatingPoint], seed: int, *, power_sensor: bool = False
) -> Scenario:
    """Return the scenario: an input a second on a Raspberry Pi 4B with a fan, so that heat plays no part."""
    board = Board(profile="raspberry-pi-4b", case="fan", slowdown=slowdown_of(points), power_sensor=power_sensor)
    doc = Document(
        schema=1,
        device=board,
        ambient=Ambient(celsius=20.0),
        load=Load(rate_hz=1.0),
        contention=Contention(model=setting.environment, mean_on_s=40.0, mean_off_s=40.0),  # type: ignore[arg-type]  # one of ENVIRONMENTS
        mission=Mission(
            duration_h=_HOURS,
            deadline_ms=setting.deadline * LARGEST_S * 1e3,
            min_quality=setting.min_quality,
            energy_mj=setting.energy_mj,
        ),
        random=Random(seed=seed, runs=1, model_error=0.1),
    )
    return Scenario(name="setting", doc=doc)


def judge(
    points: Sequence[OperatingPoint],
    policy: Policy,
    names: Sequence[str],
    advance: Callable[[], object],
    *,
    power_sensor: bool = False,
) -> list[Judged]:
    """Run every setting. Those that the oracle cannot keep (one input in ten late) are left out."""
    found: list[Judged] = []
    for seed, setting in enumerate(settings(points)):
        scenario = scenario_of(setting, points, seed, power_sensor=power_sensor)
        study = run_study(scenario, points, policy, controllers=names, interval_s=1.0)
        outcomes = {result.name: result.outcomes[0] for result in study.results}
        if not _violates(outcomes["oracle"]) and not _misses(outcomes["oracle"], setting):
            found += [_judge(setting, name, outcomes, _Equal(scenario, points, policy)) for name in outcomes]
        advance()
    return found


@dataclass(frozen=True, slots=True)
class _Equal:
    """Oracles that are asked for what a controller delivered."""

    scenario: Scenario
    points: Sequence[OperatingPoint]
    policy: Policy

    def ratio(self, oracle: str, mine: Outcome, *, saving: bool) -> float | None:
        """Return energy at equal quality (``saving``), or error at equal energy, over the oracle's."""
        if _violates(mine):
            return None
        old = self.scenario.doc.mission
        taken_mj = 1e3 * mine.ours_j / mine.inputs
        mission = replace(old, min_quality=mine.worth) if saving else replace(old, energy_mj=taken_mj)
        doc = replace(self.scenario.doc, mission=mission)
        study = run_study(
            replace(self.scenario, doc=doc), self.points, self.policy, controllers=(oracle,), interval_s=1.0
        )
        best = study.result(oracle).outcomes[0]
        return mine.ours_j / best.ours_j if saving else (1.0 - mine.worth) / (1.0 - best.worth)


def _judge(setting: Setting, name: str, all_: dict[str, Outcome], equal: _Equal) -> Judged:
    saving, mine = setting.min_quality is not None, all_[name]
    best, static, blind, own = (
        o.ours_j if saving else 1.0 - o.worth
        for o in (all_["oracle"], all_["oracle-static"], all_["oracle-blind"], mine)
    )
    known = name in ("oracle", "oracle-static")
    return Judged(
        setting=setting,
        name=name,
        late=_violates(mine),
        missed=_misses(mine, setting),
        energy=own / best if saving else None,
        error=None if saving else own / best,
        static=own / static,
        blind=own / blind,
        equal=None if known else equal.ratio("oracle", mine, saving=saving),
        equal_blind=None if name.startswith("oracle") else equal.ratio("oracle-blind", mine, saving=saving),
        switches=mine.switches / (_HOURS * 360.0),
    )


def _violates(outcome: Outcome) -> bool:
    return outcome.late > _LATE


def _misses(outcome: Outcome, setting: Setting) -> bool:
    if setting.min_quality is not None:
        return outcome.worth < setting.min_quality - _QUALITY_SLACK
    assert setting.energy_mj is not None
    return 1e3 * outcome.ours_j / outcome.inputs > setting.energy_mj * (1 + _ENERGY_SLACK)


def harmonic(values: Sequence[float]) -> float | None:
    """Return the harmonic mean; ``None`` of nothing."""
    return None if not values else float(len(values) / np.sum(1.0 / np.maximum(values, 1e-9)))
