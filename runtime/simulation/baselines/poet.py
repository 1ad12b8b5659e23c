"""POET: a Kalman filter on the base speed, a deadbeat controller, and the cheapest pair of configurations.

Imes et al., "POET: a portable approach to minimizing energy under soft real-time constraints", RTAS 2015; formulas and
constants as in github.com/libpoet/poet ``src/poet.c`` and ``src/poet_constants.h`` (the FAST set).

    P- = P + Q;  k = P- h / (h P- h + R);  b += k (rate - h b);  P = (1 - k h) P-      Q = 1e-5, R = 0.01, P0 = 1
    u <- clip(u + (goal - rate) / b, 1, u_max)
    share of the heartbeats in lo:  x = (s_hi s_lo - u s_lo) / (s_hi u - u s_lo)
"""

from __future__ import annotations

from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.baselines.task import Config, Task, configs, thread_counts
from edgehybrid.runtime.simulation.drivers import THREADS
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import clip

PROCESS_NOISE, MEASUREMENT_NOISE = 1e-5, 0.01


class Poet:
    """POET over points and threads: the least energy at the speed that the deadline asks for.

    It knows no quality; points below the floor are not in its table. Its pair shares inputs; both halves run with the
    threads of the first, since a decision has one number of threads.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._tables = {count: _by_speed(configs(task, threads=(count,))) for count in thread_counts(task.device)}
        slowest = max(config.latency_s for table in self._tables.values() for config in table)
        self._base_s = slowest
        self._b, self._p = 1.0 / slowest, 1.0
        self._u, self._u_max = 1.0, max(self._speed(c) for table in self._tables.values() for c in table)
        self._goal = 1.0 / task.window_s
        self._seen_s: list[float] = []
        self._applied: list[float] = []
        self._by = {(c.point, c.threads): c for table in self._tables.values() for c in table}
        self._threads = 1

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Control the speed, and translate it into the cheapest pair."""
        del context
        self._control()
        best: tuple[float, float, Config, Config] | None = None
        for table in self._tables.values():
            for low in table:
                for high in table:
                    found = self._pair(low, high)
                    if found is not None and (best is None or found[0] < best[0]):
                        best = (*found, low, high)
        if best is None:
            quickest = min((c for table in self._tables.values() for c in table), key=lambda c: c.latency_s)
            best = (0.0, 0.0, quickest, quickest)
        _, share, low, high = best
        self._threads = high.threads
        return Decision(
            at_s=snapshot.at_s,
            point=low.point,
            alternate=high.point if high.point != low.point else None,
            share=share if high.point != low.point else 1.0,
            reason=f"speed {self._u:.3g} of {self._u_max:.3g}",
            numbers={THREADS: high.threads},
        )

    def observe(self, observation: Observation) -> None:
        """Note the rate and the speed that was applied."""
        config = self._by.get((observation.point, self._threads))
        if config is not None and observation.latency_s > 0:
            self._seen_s.append(observation.latency_s)
            self._applied.append(1.0 / self._speed(config))

    def _control(self) -> None:
        if not self._seen_s:
            return
        count = len(self._seen_s)
        rate, h = count / sum(self._seen_s), count / sum(self._applied)
        self._seen_s, self._applied = [], []
        prior = self._p + PROCESS_NOISE
        gain = prior * h / (h * prior * h + MEASUREMENT_NOISE)
        self._b = max(self._b + gain * (rate - h * self._b), 1e-9)
        self._p = (1 - gain * h) * prior
        self._u = clip(h + (self._goal - rate) / self._b, 1.0, self._u_max)

    def _speed(self, config: Config) -> float:
        return self._base_s / config.latency_s

    def _pair(self, low: Config, high: Config) -> tuple[float, float] | None:
        """Return energy of an input and the share of ``low``; ``None`` if the pair does not reach the speed."""
        s_lo, s_hi, u = self._speed(low), self._speed(high), self._u
        if not s_lo <= u <= s_hi * (1 + 1e-12):
            return None
        share = 1.0 if s_hi - s_lo < 1e-12 else (s_hi * s_lo - u * s_lo) / (s_hi * u - u * s_lo)
        share = clip(share, 0.0, 1.0)
        return share * low.energy_j + (1 - share) * high.energy_j, share


def _by_speed(table: tuple[Config, ...]) -> list[Config]:
    return sorted(table, key=lambda config: -config.latency_s)
