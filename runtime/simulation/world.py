"""One draw of everything that chance decides: what is true of the board, and what comes when.

Every stream has its own generator, seeded by seed, run and its name, so that all controllers meet the same world and
a change to one stream leaves the others as they were.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, load_device
from edgehybrid.runtime.simulation.cases import HeatPath, heat_paths
from edgehybrid.runtime.simulation.scenario import Contention, Pack, Scenario
from edgehybrid.runtime.simulation.traces import Trace

Floats = NDArray[np.float64]

_MAX_CELLS = 2_000_000
_DRIFT_SD = 0.03  # assumption: clocks, caches and page placement move latency by a few percent
_DRIFT_TAU_S = 600.0
_POINT_SENSITIVITY_SD = 0.1  # points suffer differently when bandwidth is short
_MEMORY_CORES = 1.0  # a bandwidth hog is one busy core
_BURST_SPREAD = 0.25  # of the slowdown from one memory burst to the next
_MAX_SIGMAS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """The truth of one run. Series lie on a grid of ``grid_s`` seconds, shape ``(cells,)``.

    Attributes:
        scenario: What was asked for.
        run: Its number.
        device: The board as it really is.
        heat: Its thermal resistances as they really are.
        pack: The battery as it really is; ``None`` on mains.
        gauge_phase: Where the error of the gauge begins, in radians.
        speed: Point name to its latency on this board over its latency in the bundle.
        sensitivity: Point name to how much a memory burst slows it, 1 = as the burst says.
        grid_s: Length of a cell.
        drift: Slow change of all latencies, around 1.
        neighbours: Cores that others keep busy.
        memory: Slowdown by memory bursts, at least 1.
        ambient_c: Temperature around the board.
        solar_w: Watts that the charger puts into the battery.
        sensor_noise: Standard normal, for sensors.
        arrivals_s: When inputs come, rising, shape ``(n,)``.
        difficulty: Of each input, uniform in [0, 1): harder ones need more depth.
        jitter: Of each input's latency, standard normal.
    """

    scenario: Scenario
    run: int
    device: DeviceProfile
    heat: tuple[HeatPath, ...]
    pack: Pack | None
    gauge_phase: float
    speed: Mapping[str, float]
    sensitivity: Mapping[str, float]
    grid_s: float
    drift: Floats
    neighbours: Floats
    memory: Floats
    ambient_c: Floats
    solar_w: Floats
    sensor_noise: Floats
    arrivals_s: Floats
    difficulty: Floats
    jitter: Floats

    def cell(self, at_s: float) -> int:
        """Return the index of the cell at ``at_s``."""
        return min(int(at_s / self.grid_s), len(self.drift) - 1)


def draw_world(scenario: Scenario, points: Sequence[OperatingPoint], run: int = 0) -> World:
    """Draw run number ``run`` of ``scenario``; the same arguments give the same world."""
    doc = scenario.doc
    stream = _Streams(doc.random.seed, run)
    profile = _profile(scenario)
    error = doc.random.model_error
    grid_s = max(1.0, scenario.duration_s / _MAX_CELLS)
    times: Floats = np.arange(max(math.ceil(scenario.duration_s / grid_s), 1), dtype=np.float64) * grid_s
    neighbours, memory = _contention(doc.contention, scenario.contention, profile.cpu.cores, times, stream)
    arrivals = _arrivals(scenario, stream.of("arrivals"))
    inputs = stream.of("inputs")
    errors = stream.of("device")
    return World(
        scenario=scenario,
        run=run,
        device=_true_device(profile, error, errors),
        heat=tuple(
            HeatPath(kelvin_per_w=path.kelvin_per_w * _off(errors, error), tau_s=path.tau_s * _off(errors, error))
            for path in heat_paths(profile, doc.device.case)
        ),
        pack=doc.battery and replace(doc.battery, capacity_wh=doc.battery.capacity_wh * _off(errors, error)),
        gauge_phase=float(errors.uniform(0, 2 * math.pi)),
        speed=_speeds(points, doc.device.slowdown, error, stream.of("points")),
        sensitivity=_speeds(points, 1.0, _POINT_SENSITIVITY_SD, stream.of("sensitivity")),
        grid_s=grid_s,
        drift=_drift(len(times), grid_s, stream.of("drift")),
        neighbours=neighbours,
        memory=memory,
        ambient_c=_ambient(scenario, times),
        solar_w=_solar(scenario, times),
        sensor_noise=stream.of("sensors").standard_normal(len(times)),
        arrivals_s=arrivals,
        difficulty=inputs.random(len(arrivals)),
        jitter=inputs.standard_normal(len(arrivals)),
    )


@dataclass(frozen=True, slots=True)
class _Streams:
    seed: int
    run: int

    def of(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.run, zlib.crc32(name.encode())])


def _profile(scenario: Scenario) -> DeviceProfile:
    profile = load_device(scenario.doc.device.profile)
    idle_w = scenario.doc.device.idle_w
    if idle_w is None:
        return profile
    moved = tuple(idle_w + watts - profile.power.idle_w for watts in profile.power.busy_w)
    return replace(profile, power=replace(profile.power, idle_w=idle_w, busy_w=moved))


def _off(rng: np.random.Generator, error: float) -> float:
    """Draw how far a figure is off: normal around 1, cut at two standard deviations."""
    return 1.0 + error * float(np.clip(rng.standard_normal(), -_MAX_SIGMAS, _MAX_SIGMAS))


def _true_device(profile: DeviceProfile, error: float, rng: np.random.Generator) -> DeviceProfile:
    idle_w = profile.power.idle_w * _off(rng, error)
    core = _off(rng, error)
    busy_w = tuple(idle_w + core * (watts - profile.power.idle_w) for watts in profile.power.busy_w)
    return replace(profile, power=replace(profile.power, idle_w=idle_w, busy_w=busy_w))


def _speeds(
    points: Sequence[OperatingPoint], slowdown: float, error: float, rng: np.random.Generator
) -> dict[str, float]:
    return {point.name: slowdown * _off(rng, error) for point in points}


def _drift(cells: int, grid_s: float, rng: np.random.Generator) -> Floats:
    """Ornstein-Uhlenbeck in the logarithm, in steps of about a minute with straight lines in between."""
    every = max(round(60.0 / grid_s), 1)
    knots = cells // every + 2
    keep = math.exp(-every * grid_s / _DRIFT_TAU_S)
    noise = rng.standard_normal(knots) * _DRIFT_SD
    level = np.empty(knots)
    level[0] = noise[0]
    for i in range(1, knots):
        level[i] = keep * level[i - 1] + math.sqrt(1 - keep**2) * noise[i]
    return np.exp(np.interp(np.arange(cells), np.arange(knots) * every, level))


def _contention(
    model: Contention, trace: Trace | None, cores: int, times: Floats, stream: _Streams
) -> tuple[Floats, Floats]:
    """Return busy cores of others and the slowdown by memory, cell by cell."""
    calm, free = np.ones(len(times)), np.zeros(len(times))
    if trace is not None:
        return np.clip(trace.at(times), 0.0, cores), calm
    if model.model not in ("compute", "memory"):
        return free, calm
    rng = stream.of("contention")
    level = _bursts(model, times, rng)
    if model.model == "compute":
        return np.where(level > 0, model.cores or float(cores), 0.0), calm
    return np.where(level > 0, _MEMORY_CORES, 0.0), np.where(level > 0, 1.0 + (model.slowdown - 1.0) * level, 1.0)


def _bursts(model: Contention, times: Floats, rng: np.random.Generator) -> Floats:
    """Start and stop at random (exponential lengths), as ALERT's protocol; 0, or the strength of the burst."""
    end = times[-1] + 1.0
    level = np.zeros(len(times))
    at = float(rng.exponential(model.mean_off_s)) if rng.random() < 0.5 else 0.0
    while at < end:
        until = at + float(rng.exponential(model.mean_on_s))
        strength = max(1.0 + _BURST_SPREAD * float(rng.standard_normal()), 0.2)
        level[(times >= at) & (times < until)] = strength
        at = until + float(rng.exponential(model.mean_off_s))
    return level


def _ambient(scenario: Scenario, times: Floats) -> Floats:
    if scenario.ambient is not None:
        return scenario.ambient.at(times)
    return np.full(len(times), scenario.doc.ambient.celsius or 0.0)


def _solar(scenario: Scenario, times: Floats) -> Floats:
    solar = scenario.doc.solar
    if solar is None or scenario.solar is None:
        return np.zeros(len(times))
    irradiance = np.maximum(scenario.solar.at(times + solar.start_h * 3600.0), 0.0)
    return irradiance / 1000.0 * solar.panel_w * solar.efficiency


def _arrivals(scenario: Scenario, rng: np.random.Generator) -> Floats:
    load, end = scenario.doc.load, scenario.duration_s
    if scenario.load is not None:
        once = np.repeat(scenario.load.t_s, np.maximum(scenario.load.values, 0).astype(int))
        rounds = math.ceil(end / scenario.load.period_s)
        times = np.concatenate([once + k * scenario.load.period_s for k in range(rounds)])
        return times[times < end]
    rate = load.rate_hz or 1.0
    if load.arrivals == "periodic":
        return np.arange(math.floor(end * rate)) / rate
    count = math.ceil(end * rate + 10 * math.sqrt(end * rate) + 10)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    return times[times < end]
