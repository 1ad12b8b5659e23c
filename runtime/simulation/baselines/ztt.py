"""zTT: a small network learns the reward of each action, as published.

Kim et al., "zTT: learning-based DVFS with zero thermal throttling", MobiSys 2021; github.com/ztt-21/zTT
``Jetson_tx2/agent.py``: ``done`` is always 1 there, so the target is the immediate reward: a contextual bandit. Kept:
network 6-6 with ReLU, Adam 0.05, replay 500, batch 64, start after 200, epsilon 1 times 0.95 per training step,
samples with a reward outside 0 to 1 stored three times, and

    r = u + v + beta / P;  u = min(1, fps / fps*);  v = 0.2 tanh(T* - T) below T*, else -2;  beta = 2, P in 0.1 W

Replaced: the pair of clocks by a point and a duty; ``T*`` is the policy's headroom below the throttling temperature.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.baselines.task import Task, configs
from edgehybrid.runtime.simulation.drivers import DUTY
from edgehybrid.runtime.telemetry import Snapshot

Floats = NDArray[np.float64]
DUTIES = (1.0, 0.75, 0.5)
REPLAY, BATCH, START, RATE, DECAY, BETA = 500, 64, 200, 0.05, 0.95, 2.0


class Network:
    """Two hidden layers of six with ReLU, mean squared error, Adam."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        sizes = (inputs, 6, 6, outputs)
        self._w = [rng.normal(0, math.sqrt(2 / a), (a, b)) for a, b in pairwise(sizes)]
        self._w += [np.zeros(size) for size in sizes[1:]]
        self._m, self._v = [np.zeros_like(w) for w in self._w], [np.zeros_like(w) for w in self._w]
        self._steps = 0

    def values(self, x: Floats) -> Floats:
        """Return the reward that each action promises, shape ``(n, actions)`` for states ``(n, inputs)``."""
        return self._forward(x)[-1]

    def train(self, x: Floats, actions: NDArray[np.int64], rewards: Floats) -> None:
        """Take one step towards the rewards that were seen."""
        layers = self._forward(x)
        rows = np.arange(len(x))
        error = np.zeros_like(layers[-1])
        error[rows, actions] = 2 * (layers[-1][rows, actions] - rewards) / len(x)
        slopes: list[Any] = [None] * 6
        for i in (2, 1, 0):
            slopes[i], slopes[3 + i] = layers[i].T @ error, error.sum(axis=0)
            if i:
                error = (error @ self._w[i].T) * (layers[i] > 0)
        self._steps += 1
        for w, m, v, g in zip(self._w, self._m, self._v, slopes, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            size = RATE / (1 - 0.9**self._steps)
            w -= size * m / (np.sqrt(v / (1 - 0.999**self._steps)) + 1e-8)

    def _forward(self, x: Floats) -> list[Floats]:
        layers = [x]
        for i in range(3):
            y = layers[-1] @ self._w[i] + self._w[3 + i]
            layers.append(np.maximum(y, 0.0) if i < 2 else y)
        return layers


class Ztt:
    """zTT's bandit over points and duties. It knows neither quality nor battery."""

    def __init__(self, task: Task, *, seed: int = 0) -> None:
        self._task, self._rng = task, np.random.default_rng(seed)
        self._actions = [(config, duty) for config in configs(task) for duty in DUTIES]
        self._net = Network(4, len(self._actions), self._rng)
        self._memory: deque[tuple[Floats, int, float]] = deque(maxlen=REPLAY)
        self._eps, self._action, self._last_s = 1.0, 0, 0.0
        self._state: Floats | None = None
        self._joules, self._in_time = 0.0, 0
        self._limit_c = task.device.thermal.throttle_c - task.policy.thermal.headroom_c

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Score the last action, learn, and choose the next."""
        del context
        span = max(snapshot.at_s - self._last_s, 1e-9)
        fps = self._in_time / span
        watts = self._task.device.power.idle_w + self._joules / span
        temp_c = snapshot.soc_temp_c if snapshot.soc_temp_c is not None else self._limit_c - 10
        if self._state is not None:
            self._remember(self.reward(fps, watts, temp_c))
        self._train()
        self._state = np.asarray([self._action / len(self._actions), watts / 10, temp_c / 100, fps * self._period])
        self._action = self._choose(self._state, temp_c, fps)
        self._joules, self._in_time, self._last_s = 0.0, 0, snapshot.at_s
        config, duty = self._actions[self._action]
        return config.decision(snapshot.at_s, f"exploring {self._eps:.0%}", numbers={DUTY: duty})

    def observe(self, observation: Observation) -> None:
        """Count frames in time, and joules."""
        self._joules += observation.energy_j or 0.0
        self._in_time += observation.latency_s <= (self._task.deadline_s or math.inf)

    def reward(self, fps: float, watts: float, temp_c: float) -> float:
        """Return the published reward."""
        served = min(1.0, fps * self._period)
        margin = self._limit_c - temp_c
        return served + (0.2 * math.tanh(margin) if margin > 0 else -2.0) + BETA / (watts * 10)

    @property
    def _period(self) -> float:
        return self._task.period_s

    def _remember(self, reward: float) -> None:
        assert self._state is not None
        for _ in range(3 if reward < 0 or reward > 1 else 1):
            self._memory.append((self._state, self._action, reward))

    def _train(self) -> None:
        if len(self._memory) < START:
            return
        picked: Sequence[int] = self._rng.integers(0, len(self._memory), BATCH).tolist()
        batch = [self._memory[i] for i in picked]
        states, rewards = np.asarray([b[0] for b in batch]), np.asarray([b[2] for b in batch])
        self._net.train(states, np.asarray([b[1] for b in batch]), rewards)
        self._eps *= DECAY

    def _choose(self, state: Floats, temp_c: float, fps: float) -> int:
        """Explore, or take the best; hot boards are sent lower, cool late ones sometimes higher."""
        now = self._action
        if temp_c >= self._limit_c:
            return int(self._rng.integers(now, len(self._actions)))
        if self._limit_c - temp_c >= 5 and fps * self._period < 0.99 and self._rng.random() < 0.3:
            return int(self._rng.integers(0, now + 1))
        if self._rng.random() < self._eps:
            return int(self._rng.integers(len(self._actions)))
        return int(np.argmax(self._net.values(state[None])[0]))
