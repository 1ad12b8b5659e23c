"""Baselines without a model of their own: a fixed point, racing to idle, thresholds, an allowance per input."""

from __future__ import annotations

from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.baselines.task import Config, Task, configs
from edgehybrid.runtime.telemetry import Snapshot

_LATE_MARGIN = 1.2  # the desk leaves this much room before the deadline
_WEIGHT = 0.1  # of a new observation


class Fixed:
    """One point for ever."""

    def __init__(self, point: str) -> None:
        self._point = point

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose the same point again."""
        del context
        return Decision(at_s=snapshot.at_s, point=self._point, reason="fixed")

    def observe(self, observation: Observation) -> None:
        """Learn nothing."""


class BestFixed:
    """The point that a careful person chooses at the desk, and hopes.

    By the bundle's figures the best that keeps the deadline with some room, and whose energy until the end is in the
    battery as it is at the start; the cheapest of those in time where none lasts.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._chosen: Config | None = None

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose once, then stay."""
        del context
        if self._chosen is None:
            table = configs(self._task)
            quick = [config for config in table if config.latency_s * _LATE_MARGIN <= self._task.window_s]
            quick = quick or [min(table, key=lambda config: config.latency_s)]
            self._chosen = _within(quick, self._task.allowance_j(snapshot))
        return self._chosen.decision(snapshot.at_s, "chosen at the desk")

    def observe(self, observation: Observation) -> None:
        """Learn nothing."""


class RaceToIdle:
    """The best point on all cores, then idle: 3.34 times the optimal energy in Kim et al., CPSNA 2015."""

    def __init__(self, task: Task) -> None:
        self._config = configs(task, threads=(task.device.cpu.cores,))[0]

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose the best point on all cores."""
        del context
        return self._config.decision(snapshot.at_s, "race to idle")

    def observe(self, observation: Observation) -> None:
        """Learn nothing."""


class Thresholds:
    """Steps down one point when hot, low or late, and back up with hysteresis.

    The shape of Play It Cool (arXiv 2206.10849) and RAMS (arXiv 2606.14716); the thresholds are the policy's own.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._table = task, _ladder(configs(task))
        self._level, self._since_s = 0, float("-inf")
        self._late = 0.0

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Move by at most one step."""
        del context
        policy, last = self._task.policy, len(self._table) - 1
        at_s, temp_c, pct = snapshot.at_s, snapshot.soc_temp_c, snapshot.battery_pct
        hot_c = self._task.device.thermal.throttle_c - policy.thermal.headroom_c
        span = policy.battery.full_above_pct - policy.battery.least_below_pct
        full = policy.battery.full_above_pct - span * self._level / max(last, 1)
        down = (temp_c is not None and temp_c > hot_c) or self._late > policy.late_share
        down = down or (pct is not None and pct < full)
        cool = temp_c is None or temp_c < hot_c - policy.thermal.hysteresis_c
        charged = pct is None or pct > full + span / max(last, 1) + policy.battery.hysteresis_pct
        if down and self._level < last:
            self._level, self._since_s, self._late = self._level + 1, at_s, 0.0
        elif cool and charged and self._late == 0.0 and at_s - self._since_s >= policy.switching.dwell_s:
            if self._level > 0:
                self._since_s = at_s
            self._level = max(self._level - 1, 0)
        return self._table[self._level].decision(at_s, f"level {self._level}")

    def observe(self, observation: Observation) -> None:
        """Follow the share of late answers."""
        late = observation.latency_s > (self._task.deadline_s or float("inf"))
        self._late += _WEIGHT * (late - self._late)
        self._late = 0.0 if self._late < 0.01 else self._late


class Allowance:
    """MCDNN (Han et al., MobiSys 2016; recalled): the best point whose energy is within what an input may take.

    The allowance is what is left over the requests still expected; energies follow what is observed.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._table = task, configs(task)
        self._pace = 1.0
        self._by_point = {config.point: config for config in self._table}

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose the best point within the allowance and the deadline."""
        del context
        allowed_j = self._task.allowance_j(snapshot)
        quick = [config for config in self._table if config.latency_s * self._pace <= self._task.window_s]
        quick = quick or [min(self._table, key=lambda config: config.latency_s)]
        chosen = _within(quick, None if allowed_j is None else allowed_j / self._pace)
        return chosen.decision(snapshot.at_s, "allowance" if allowed_j is None else f"{allowed_j:.3g} J an input")

    def observe(self, observation: Observation) -> None:
        """Follow how much slower than the bundle the board is."""
        config = self._by_point.get(observation.point)
        if config is not None and config.latency_s > 0:
            self._pace += _WEIGHT * (observation.latency_s / config.latency_s - self._pace)


def _within(table: list[Config], allowed_j: float | None) -> Config:
    """Return the best configuration within the energy; the cheapest if none is."""
    if allowed_j is None:
        return table[0]
    return next((c for c in table if c.energy_j <= allowed_j), min(table, key=lambda c: c.energy_j))


def _ladder(table: tuple[Config, ...]) -> list[Config]:
    kept: list[Config] = []
    for config in table:
        if not kept or config.energy_j < kept[-1].energy_j:
            kept.append(config)
    return kept
