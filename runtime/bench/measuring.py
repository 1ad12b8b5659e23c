"""Measuring every point where it will run: interleaved, so that all meet the same weather, which is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, EdgeHybridError
from edgehybrid.points import EnergyMj, LatencyMs
from edgehybrid.profiles import DeviceProfile, ExecutionPolicy
from edgehybrid.runtime.backends import Array, Backend, make_backend
from edgehybrid.runtime.bench.values import PointFigures, Supply, Table
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.runtime.execution import Dial, Goldens, Plan, load_plan
from edgehybrid.runtime.telemetry import Snapshot

LEAST_ROUNDS = 15
MOST_ROUNDS = 400
WARM_UP = 3
STEADY = 0.10  # what the last third of the rounds may be slower than the first
WEATHER_S = 0.5  # between two looks at the device: one may start a process

Look = Callable[[], Snapshot]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the device said during a round."""

    supply: Supply
    throttled: bool
    soc_temp_c: float | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Weather:
        """Read it from a snapshot."""
        supply: Supply = "unknown" if snapshot.on_mains is None else "mains" if snapshot.on_mains else "battery"
        return cls(supply=supply, throttled=bool(snapshot.throttled), soc_temp_c=snapshot.soc_temp_c)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    weather: Weather
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


def measure(
    bundle: Bundle,
    device: DeviceProfile,
    look: Look,
    *,
    key: str,
    seconds: float,
    backends: Mapping[str, Backend] | None = None,
    seed: int = 0,
    pause: Callable[[float], bool] = lambda _: False,
    progress: Callable[[], None] = lambda: None,
) -> Table:
    """Run every point of ``bundle`` on its golden inputs and return what one inference takes here.

    A change from mains to battery or back in between begins anew: the table is of one supply only.

    Args:
        bundle: An opened bundle.
        device: The board; its watts make joules of CPU time.
        look: Reads the device.
        key: Fingerprint of the device.
        seconds: How long to measure, loading not counted.
        backends: Back ends by their key; others come from the registry.
        seed: Of the orders.
        pause: Told after each round how many CPU seconds it took; returns whether to stop with what there is.
        progress: Called after each round.

    Raises:
        BackendError: No point runs here.
    """
    plans, failed = load_all(bundle, backends or {})
    if not plans:
        raise BackendError(
            f"No point of {bundle.path.name} runs here.", f"The first says: {next(iter(failed.values()))}"
        )
    feeds = golden_feeds(bundle, plans[0])
    for plan in plans:
        for _ in range(WARM_UP):
            plan.run(feeds)
    rounds: list[_Round] = []
    end_s = time.monotonic() + seconds
    for found in _rounds(plans, feeds, look, seed):
        if rounds and rounds[-1].weather.supply != found.weather.supply:
            rounds, end_s = [], time.monotonic() + seconds
        rounds.append(found)
        progress()
        if pause(sum(found.cpu_s)) or len(rounds) >= MOST_ROUNDS:
            break
        if len(rounds) >= LEAST_ROUNDS and time.monotonic() >= end_s:
            break
    return _table([plan.point.name for plan in plans], rounds, device, key=key, failed=failed)


def load_all(bundle: Bundle, backends: Mapping[str, Backend]) -> tuple[list[Plan], dict[str, str]]:
    """Load every point to run at full depth; returns the plans, and the points that do not load, with the reason."""
    known, goldens = dict(backends), Goldens(bundle)

    def find(name: str) -> Backend:
        if name not in known:
            known[name] = make_backend(name)
        return known[name]

    plans, failed = [], {}
    for point in bundle.points:
        try:
            plans.append(load_plan(bundle, point, ExecutionPolicy(), find, goldens, Dial(None)))
        except EdgeHybridError as error:
            failed[point.name] = error.what
    return plans, failed


def golden_feeds(bundle: Bundle, plan: Plan) -> dict[str, Array]:
    """Return one input of the model, from the golden vectors of the stages that read it."""
    goldens, found = Goldens(bundle), dict[str, Array]()
    for stage, name in plan.point.variants.items():
        found = {**goldens.inputs(bundle.stage(stage), bundle.variant(stage, name)), **found}
    return {
        spec.name: found[spec.name][:1] if spec.shape and isinstance(spec.shape[0], str) else found[spec.name]
        for spec in plan.inputs
    }


def _rounds(plans: Sequence[Plan], feeds: Mapping[str, Array], look: Look, seed: int) -> Iterator[_Round]:
    """Yield rounds without end: every point once, in a new order each time."""
    rng = np.random.default_rng(seed)
    weather, looked_s = Weather.of(look()), time.monotonic()
    while True:
        wall, cpu = [0.0] * len(plans), [0.0] * len(plans)
        for index in rng.permutation(len(plans)):
            cpu_0, wall_0 = time.process_time(), time.perf_counter()
            plans[index].run(feeds)
            wall[index] = time.perf_counter() - wall_0
            cpu[index] = time.process_time() - cpu_0
        if time.monotonic() - looked_s >= WEATHER_S:
            weather, looked_s = Weather.of(look()), time.monotonic()
        yield _Round(weather=weather, wall_s=tuple(wall), cpu_s=tuple(cpu))


def _table(
    names: Sequence[str], rounds: Sequence[_Round], device: DeviceProfile, *, key: str, failed: dict[str, str]
) -> Table:
    cool = [found for found in rounds if not found.weather.throttled]
    counted = cool or rounds
    wall, cpu = np.array([r.wall_s for r in counted]), np.array([r.cpu_s for r in counted])
    steady = _steady(wall)
    notes = []
    if not cool:
        notes.append("throttled throughout: a cooler board is faster")
    if not steady:
        notes.append("slower at the end than at the beginning: warm, or other processes took the cores")
    return Table(
        device=key,
        profile=device.name,
        supply=rounds[-1].weather.supply,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        points=tuple(_figures(name, wall[:, i], cpu[:, i], device) for i, name in enumerate(names)),
        failed=failed,
        rounds=len(counted),
        throttled_rounds=len(rounds) - len(cool),
        steady=steady,
        soc_temp_c=rounds[-1].weather.soc_temp_c,
        note="; ".join(notes),
    )


def _figures(name: str, wall_s: NDArray[np.float64], cpu_s: NDArray[np.float64], device: DeviceProfile) -> PointFigures:
    p50, p95 = np.percentile(wall_s, (50, 95))
    cpu = float(np.median(cpu_s))
    joules = EnergyModel(device).inference(cpu, float(p50))
    return PointFigures(
        name=name,
        latency_ms=LatencyMs(p50=float(p50) * 1e3, p95=float(p95) * 1e3),
        cpu_ms=cpu * 1e3,
        energy_mj=EnergyMj(value=joules.value * 1e3, method=joules.method, uncertainty=joules.uncertainty * 1e3),
        runs=len(wall_s),
    )


def _steady(wall_s: NDArray[np.float64]) -> bool:
    """Whether the last third was as fast as the first: the median over points of the ratio of their medians."""
    third = len(wall_s) // 3
    if third < 3:
        return True
    ratio = np.median(wall_s[-third:], axis=0) / np.median(wall_s[:third], axis=0)
    return bool(np.median(ratio) <= 1 + STEADY)
