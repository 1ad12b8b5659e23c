"""What a baseline is told, and its table of configurations for this board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control import Decision
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.runtime.simulation.drivers import THREADS
from edgehybrid.runtime.simulation.options import make_option
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import wh_to_j


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the desk knows before the mission.

    Attributes:
        points: Of the bundle.
        device: The board as it is believed to be.
        policy: What the owner wants.
        period_s: Mean time between inputs.
        deadline_s: For each input; ``None`` without.
        duration_s: Of the mission.
        until_end: Whether the battery must last.
        floor: Least worth of a point; ``None`` without.
        energy_j: Mean energy of an input above the idle board that must not be exceeded; ``None`` without.
        late_worth: Worth of a late answer.
        slowdown: Latency on this board over the bundle's: whoever chooses at a desk has tried the board, as ALERT and
            the others profile theirs. Our own controller is not told.
        battery: Whether the board runs on one.
    """

    points: Sequence[OperatingPoint]
    device: DeviceProfile
    policy: Policy
    period_s: float
    deadline_s: float | None = None
    duration_s: float = 3600.0
    until_end: bool = False
    floor: float | None = None
    energy_j: float | None = None
    late_worth: float = 0.0
    slowdown: float = 1.0
    battery: bool = False

    @property
    def window_s(self) -> float:
        """Time that an input may take: the deadline, or until the next one comes."""
        return self.deadline_s or self.period_s

    def allowance_j(self, snapshot: Snapshot) -> float | None:
        """Return the energy that the next input may take above the idle board; ``None`` when nothing limits it.

        MCDNN's (Han et al., MobiSys 2016; recalled): what is left, over the requests that are still expected.
        """
        limits = [] if self.energy_j is None else [self.energy_j]
        if self.until_end and snapshot.battery_wh is not None:
            left_s = max(self.duration_s - snapshot.at_s, self.period_s)
            left_j = wh_to_j(snapshot.battery_wh) - self.device.power.idle_w * left_s
            limits.append(max(left_j, 0.0) * self.period_s / left_s)
        return min(limits) if limits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A point with a number of threads.

    Attributes:
        point: Name.
        threads: Number.
        worth: Mean quality; higher is better.
        latency_s: Mean, by bundle and trial.
        energy_j: Above the idle board, by bundle, trial and the believed board.
        watts: Of the board while it runs.
    """

    point: str
    threads: int
    worth: float
    latency_s: float
    energy_j: float
    watts: float

    def decision(self, at_s: float, reason: str, *, numbers: Mapping[str, float] | None = None) -> Decision:
        """Decide for this configuration."""
        return Decision(at_s=at_s, point=self.point, reason=reason, numbers={THREADS: self.threads, **(numbers or {})})


def configs(task: Task, *, threads: Sequence[int] | None = None) -> tuple[Config, ...]:
    """Return the table of the points with each number of threads (``None``: as measured), best quality first.

    The float reference takes part as every other point does. Points below the floor are left out, unless all are.
    """
    model = EnergyModel(task.device)
    idle_w = task.device.power.idle_w
    found = []
    for point in task.points:
        for count in threads or (point.threads,):
            option = make_option(point, 0.0, count)
            shares = [high - low for low, high in zip((0.0, *option.reach), option.reach, strict=False)]
            latency_s = task.slowdown * sum(share * s for share, s in zip(shares, option.latency_s, strict=True))
            cpu_s = task.slowdown * sum(share * s for share, s in zip(shares, option.cpu_s, strict=True))
            energy_j = model.inference(cpu_s, latency_s).value
            found.append(
                Config(
                    point=point.name,
                    threads=count,
                    worth=option.mean_worth,
                    latency_s=latency_s,
                    energy_j=energy_j,
                    watts=idle_w + (energy_j / latency_s if latency_s > 0 else 0.0),
                )
            )
    floor = task.floor
    allowed = [config for config in found if floor is None or config.worth >= floor]
    return tuple(sorted(allowed or found, key=lambda config: -config.worth))


def thread_counts(device: DeviceProfile) -> tuple[int, ...]:
    """Return 1, 2, 4, ... up to the cores of the board."""
    return tuple(2**k for k in range(8) if 2**k <= device.cpu.cores)
