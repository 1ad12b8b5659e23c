"""ALERT: one Gaussian slowdown for all configurations, and the best of all by expectation.

Wan et al., "ALERT: Accurate Learning for Energy and Timeliness", USENIX ATC 2020 (arXiv 1911.00119). The model is as
in its abstract; filter and selection are recalled from the paper, with the constants that the public Jetson baseline
"ALERT-online" confirms (``Q0``, ``K0``, ``a``); check them before quoting.

    y   = t_obs / t_train - mu
    Q   = max(Q0, a Q + (1 - a) (K y)²)                 a = 0.3, Q0 = 0.1
    K'  = ((1 - K) s² + Q) / ((1 - K) s² + Q + R)       K0 = 0.5, R = 0.001
    mu' = mu + K' y,  s²' = (1 - K) s² + Q              mu0 = 1, s²0 = 0.1

Its power caps are our numbers of threads. Points with exits count with their mean (its "traditional" networks, not
its anytime ones).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.baselines.task import Config, Task, configs, thread_counts
from edgehybrid.runtime.telemetry import Snapshot

MEMORY, MIN_NOISE, MEASUREMENT_NOISE = 0.3, 0.1, 0.001
IDLE_NOISE, IDLE_MEASUREMENT_NOISE = 1e-4, 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Xi:
    """The slowdown: mean, variance, gain and process noise."""

    mu: float = 1.0
    s2: float = 0.1
    gain: float = 0.5
    noise: float = 0.1

    def update(self, ratio: float) -> Xi:
        """Learn from an inference that took ``ratio`` times its training latency."""
        y = ratio - self.mu
        noise = max(MIN_NOISE, MEMORY * self.noise + (1 - MEMORY) * (self.gain * y) ** 2)
        s2 = (1 - self.gain) * self.s2 + noise
        gain = s2 / (s2 + MEASUREMENT_NOISE)
        return Xi(mu=self.mu + gain * y, s2=s2, gain=gain, noise=noise)

    def in_time(self, ratio: float) -> float:
        """Return the probability that the slowdown is at most ``ratio``."""
        return 0.5 * (1.0 + math.erf((ratio - self.mu) / math.sqrt(2.0 * self.s2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRatio:
    """Idle power over the power of the running configuration, filtered.

    ``W = (M + S) / (M + S + V); M = (1 - W)(M + S); phi += W (P_idle / P - phi)``, ``M0 = 0.01``.
    """

    phi: float = 0.5
    spread: float = 0.01

    def update(self, ratio: float) -> IdleRatio:
        """Learn from one configuration."""
        gain = (self.spread + IDLE_NOISE) / (self.spread + IDLE_NOISE + IDLE_MEASUREMENT_NOISE)
        return IdleRatio(phi=self.phi + gain * (ratio - self.phi), spread=(1 - gain) * (self.spread + IDLE_NOISE))


class Alert:
    """ALERT over points and threads; app-only and system-only by a smaller table.

    With a quality goal it minimizes energy; else it maximizes quality within the energy of an input, if there is one.
    Where nothing is feasible it gives up energy first, then quality, then the deadline.
    """

    def __init__(self, task: Task, table: Sequence[Config]) -> None:
        self._task, self._table = task, tuple(table)
        self._by_name = {(c.point, c.threads): c for c in table}
        self._xi, self._idle = Xi(), IdleRatio()
        self._now = self._table[0]

    @property
    def xi(self) -> Xi:
        """The slowdown as it is known."""
        return self._xi

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose by expectation over the slowdown."""
        del context
        goal_j = self._task.allowance_j(snapshot)
        window_s, idle_w = self._task.window_s, self._task.device.power.idle_w
        rows = [(c, *self.expect(c)) for c in self._table]
        if self._task.floor is not None and goal_j is None:
            floor = self._task.floor
            good = [row for row in rows if row[1] >= floor - 0.01 * abs(floor)]
            chosen = min(good, key=lambda row: row[2]) if good else max(rows, key=lambda row: row[1])
        else:
            within = rows if goal_j is None else [row for row in rows if row[2] <= goal_j + idle_w * window_s]
            chosen = max(within or rows, key=lambda row: (row[1], -row[2]))
        self._now = chosen[0]
        return self._now.decision(snapshot.at_s, f"slowdown {self._xi.mu:.3g} ± {math.sqrt(self._xi.s2):.2g}")

    def expect(self, config: Config) -> tuple[float, float]:
        """Return the expected worth of an input, and its energy until the deadline, in J.

        ``acc = q Pr + q_fail (1 - Pr)``; ``E = P mu t + phi P (T - mu t)``.
        """
        window_s, mean_s = self._task.window_s, self._xi.mu * config.latency_s
        chance = self._xi.in_time(window_s / config.latency_s) if config.latency_s > 0 else 1.0
        worth = config.worth * chance + self._task.late_worth * (1 - chance)
        phi = min(self._idle.phi * self._now.watts / config.watts, 1.0)
        return worth, config.watts * mean_s + phi * config.watts * max(window_s - mean_s, 0.0)

    def observe(self, observation: Observation) -> None:
        """Update slowdown and idle ratio."""
        config = self._by_name.get((observation.point, self._now.threads))
        if config is None or config.latency_s <= 0:
            return
        self._xi = self._xi.update(observation.latency_s / config.latency_s)
        self._idle = self._idle.update(self._task.device.power.idle_w / config.watts)


def alert(task: Task) -> Alert:
    """Return ALERT over all points and numbers of threads."""
    return Alert(task, configs(task, threads=thread_counts(task.device)))


def alert_app_only(task: Task) -> Alert:
    """Return ALERT that chooses the point alone, with threads as measured."""
    return Alert(task, configs(task))


def alert_system_only(task: Task) -> Alert:
    """Return ALERT that chooses the threads alone, at the quickest point."""
    table = configs(task, threads=thread_counts(task.device))
    quickest = min(table, key=lambda config: config.latency_s).point
    return Alert(task, [config for config in table if config.point == quickest])
