"""JouleGuard: a bandit finds the most efficient system configuration, a controller the speedup that the budget needs.

Hoffmann, "JouleGuard: energy guarantees for approximate applications", SOSP 2015; structure from a survey, constants
recalled. Its system configurations are our numbers of threads, its application configurations our points.

    x = |alpha (eff_obs - eff_est)| / sigma,  eps = d (1 - e^-x) / (1 + e^-x) + (1 - d) eps,  d = 1 / |C|, eps0 = 1
    rate needed g = W_left p_c / E_left,  s <- s + (1 - pole)(g - r_obs) / r_c
    pole = 0 if delta <= 2 else 1 - 2 / delta,  delta = r_obs / r_c or its inverse
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.baselines.task import Config, Task, configs, thread_counts
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import clip

SIGMA, ALPHA = 5.0, 0.85


class JouleGuard:
    """JouleGuard over points and threads. Without an energy goal it runs the most accurate point.

    Power and rate are of the time in which an inference runs, above the idle board, since ours waits for inputs.
    """

    def __init__(self, task: Task, *, seed: int = 0) -> None:
        self._task, self._rng = task, np.random.default_rng(seed)
        self._arms = thread_counts(task.device)
        table = configs(task, threads=self._arms)
        self._by: Mapping[tuple[str, int], Config] = {(c.point, c.threads): c for c in table}
        self._best = max(table, key=lambda c: (c.worth, c.latency_s)).point
        self._rate = {arm: 1.0 / self._by[self._best, arm].latency_s for arm in self._arms}
        idle_w = task.device.power.idle_w
        self._watts = {arm: max(self._by[self._best, arm].watts - idle_w, 1e-6) for arm in self._arms}
        names = {c.point for c in table}
        one = self._arms[0]
        base_s = self._by[self._best, one].latency_s
        self._apps = sorted(
            ((base_s / self._by[name, one].latency_s, self._by[name, one].worth, name) for name in names),
            key=lambda app: (-app[1], -app[0]),
        )
        self._eps, self._speedup, self._pole = 1.0, 1.0, 0.0
        self._arm, self._app = self._arms[0], self._best
        self._seen: list[float] = []

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Pick an arm, then the most accurate point that is fast enough."""
        del context
        self._learn()
        if self._rng.random() < self._eps:
            self._arm = int(self._rng.choice(self._arms))
        else:
            self._arm = max(self._arms, key=lambda arm: self._rate[arm] / self._watts[arm])
        allowed_j = self._task.allowance_j(snapshot)
        if allowed_j is None:
            self._speedup = 1.0
        else:
            needed = self._watts[self._arm] / max(allowed_j, 1e-9)
            error = needed - self._speedup * self._rate[self._arm]
            self._speedup += (1 - self._pole) * error / self._rate[self._arm]
            self._speedup = clip(self._speedup, 1.0, max(app[0] for app in self._apps))
        fast = [app for app in self._apps if app[0] >= self._speedup - 1e-9]
        self._app = (fast or [max(self._apps)])[0][2]
        return self._by[self._app, self._arm].decision(
            snapshot.at_s, f"speedup {self._speedup:.3g}, exploring {self._eps:.0%}"
        )

    def observe(self, observation: Observation) -> None:
        """Note the rate of the arm, at the most accurate point's work."""
        if (observation.point, self._arm) in self._by and observation.latency_s > 0:
            config = self._by[observation.point, self._arms[0]]
            speedup = self._by[self._best, self._arms[0]].latency_s / config.latency_s
            self._seen.append(1.0 / (observation.latency_s * speedup))

    def _learn(self) -> None:
        if not self._seen:
            return
        seen, arm = sum(self._seen) / len(self._seen), self._arm
        self._seen = []
        expected = self._rate[arm]
        surprise = abs(ALPHA * (seen - expected) / self._watts[arm]) / SIGMA
        d = 1.0 / len(self._arms)
        self._eps = d * (1 - math.exp(-surprise)) / (1 + math.exp(-surprise)) + (1 - d) * self._eps
        delta = max(seen / expected, expected / seen)
        self._pole = 0.0 if delta <= 2 else 1 - 2 / delta
        self._rate[arm] = ALPHA * seen + (1 - ALPHA) * expected
