"""The values of a device profile and of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a figure comes from."""

    figure: str  # "power.idle_w"
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor that runs the models."""

    name: str
    cores: int
    max_mhz: float | None
    isa: tuple[str, ...] = ()  # "neon", "dotprod", "fp16", "i8mm", "avx2", "avx512_vnni", ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Watts of the whole board: idle, and with one, two, ... cores fully busy."""

    idle_w: float
    busy_w: tuple[float, ...]
    uncertainty: float  # relative half width of a 95 % interval, 0.2 = 20 %

    def core_w(self, busy_cores: float = 1.0) -> float:
        """Extra watts per busy core, averaged over the first ``busy_cores``."""
        index = min(max(round(busy_cores), 1), len(self.busy_w)) - 1
        return (self.busy_w[index] - self.idle_w) / (index + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pole:
    """One exponential of the step response to full load: ``kelvin * (1 - exp(-t / tau_s))``."""

    kelvin: float
    tau_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """Limits in °C, and the measured step response to full load on all cores."""

    throttle_c: float  # the firmware lowers the clock from here on
    critical_c: float  # hard limit; the board protects itself or switches off
    soft_limit_c: float | None = None
    poles: tuple[Pole, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One board: watts, thermal constants, limits."""

    schema: int
    name: str
    title: str
    cpu: Cpu
    power: Power
    thermal: Thermal
    memory_mib: int | None = None
    undervoltage_detector: bool = False
    speed: float | None = None  # single-core speed relative to a Raspberry Pi 4B at 1.8 GHz, where measured
    models: tuple[str, ...] = ()  # beginnings of the device-tree model name that mean this board
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPolicy:
    """How quality falls with the charge left, in percent.

    Above ``full_above_pct`` the best point; below ``least_below_pct`` the most economical; in between
    the points are spread evenly. ``hysteresis_pct`` must be regained before going back up.
    """

    full_above_pct: float
    least_below_pct: float
    hysteresis_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalPolicy:
    """Keep ``headroom_c`` below the board's throttling temperature; come back ``hysteresis_c`` lower."""

    headroom_c: float
    hysteresis_c: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchingPolicy:
    """How often to look, and how long to stay before going back up, in seconds.

    ``time_share`` lets two points stay loaded and take turns.
    """

    interval_s: float
    dwell_s: float
    time_share: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPolicy:
    """Thread-pool spinning, and a ceiling for threads (``None``: what the point was measured with)."""

    spinning: bool = False
    max_threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitsPolicy:
    """Whether inputs may leave early, and the share of those that could which runs to the end to be compared."""

    enabled: bool = True
    audit_share: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Whether the last answer is given again to an input that barely changed, and how old it may be, in seconds."""

    enabled: bool = False
    max_age_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """What loaded points may take together, in MiB, so that switching back is quick; what serves is always loaded.

    ``None``: half as much again as the largest point. 0 keeps nothing that does not serve.
    """

    resident_mib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyPolicy:
    """Whether inputs may be left out where even the cheapest point takes more energy than there is.

    Attributes:
        least: Share of the inputs that is answered at least, 0 to 1; 1 leaves none out.
        skipped_quality: What an input is worth that is left out, in the bundle's metric; ``None``: as a late answer.
    """

    least: float = 1.0
    skipped_quality: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What changes while the app, the supply or the time of day is as ``when`` and the others say.

    Attributes:
        name: Shown in the reason.
        when: Key to the value that it must have: ``foreground``, ``user_waiting``, ``charging``, or one of the app's.
        importance_below: The app's importance must be lower than this.
        importance_above: It must be higher than this.
        between: Local times, ``["22:00", "06:00"]``; the second may be on the next day.
        steps: Points lower.
        max_drop: Quality floor, where it is stricter than the policy's.
        late_share: In the place of the policy's.
        exit_scalar: Least exit scalar.
    """

    name: str
    when: Mapping[str, float | str | bool] = field(default_factory=dict)
    importance_below: float | None = None
    importance_above: float | None = None
    between: tuple[str, str] | None = None
    steps: int = 0
    max_drop: float | None = None
    late_share: float | None = None
    exit_scalar: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner wants.

    ``max_drop`` is the quality floor: points that lose more against the reference (in the metric's unit) are
    used only when a guard forces it. ``late_share`` is the share of inputs that may miss the deadline.
    ``reference`` lets the user's own float graph be chosen as every other point. ``background_steps`` is how many
    points lower to run while the app says it is in the background. ``rules`` change this with what the app says and
    with the time of day.
    """

    schema: int
    name: str
    description: str
    battery: BatteryPolicy
    thermal: ThermalPolicy
    switching: SwitchingPolicy
    execution: ExecutionPolicy = field(default_factory=ExecutionPolicy)
    exits: ExitsPolicy = field(default_factory=ExitsPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    duty: DutyPolicy = field(default_factory=DutyPolicy)
    rules: tuple[Rule, ...] = ()
    max_drop: float | None = None
    reference: bool = False
    late_share: float = 0.05
    background_steps: int = 1
    min_memory_mib: float = 64.0
