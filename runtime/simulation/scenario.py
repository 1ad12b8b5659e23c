"""What is simulated: device, battery, weather, neighbours, inputs and mission, as a TOML file says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgehybrid.runtime.simulation.traces import Trace

Arrivals = Literal["periodic", "poisson", "trace"]
Neighbours = Literal["none", "compute", "memory", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The board, ``[device]``.

    Attributes:
        profile: Device profile of the real board.
        case: Case or cooler; see ``case_names``. ``None``: the poles of the profile.
        believed: Device profile that the controllers are given; ``None``: the real one.
        slowdown: Latency on this board over the latency in the bundle.
        idle_w: Idle power in W, where it is not the profile's.
        power_sensor: Whether the board tells the watts that it takes, as an averaging INA226 or the PMIC of a Pi 5.
    """

    profile: str
    case: str | None = None
    believed: str | None = None
    slowdown: float = 1.0
    idle_w: float | None = None
    power_sensor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """The battery, ``[battery]``; without it the board is on mains.

    Attributes:
        capacity_wh: Energy of the full battery as the board receives it, after conversion.
        charge: Charge at the start, 0 to 1.
        gauge_step_pct: The gauge moves in such steps, in percent.
        gauge_error_pct: Largest error of the gauge, zero when full and when empty; it makes plateaus.
        resistance_ohm: Inner resistance, as of one lithium cell.
        power_sensor: Whether the device tells the watts out of the battery.
    """

    capacity_wh: float
    charge: float = 1.0
    gauge_step_pct: float = 1.0
    gauge_error_pct: float = 3.0
    resistance_ohm: float = 0.1
    power_sensor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambient:
    """Temperature around the board, ``[ambient]``: a constant or a trace of °C."""

    celsius: float | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solar:
    """The panel, ``[solar]``.

    Attributes:
        trace: Irradiance in W/m².
        panel_w: Watts of the panel at 1000 W/m².
        efficiency: Of the charger (maximum power point tracking) and of charging together.
        start_h: Where in the trace the mission starts, in hours.
    """

    trace: str
    panel_w: float
    efficiency: float = 0.85
    start_h: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """When inputs come, ``[load]``. A trace holds how many come at each ``t_s``."""

    arrivals: Arrivals = "periodic"
    rate_hz: float | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """What else runs on the board, ``[contention]``.

    Attributes:
        model: ``compute`` takes cores, ``memory`` takes bandwidth, both starting and stopping at random; ``trace``
            gives the busy cores.
        cores: Cores that a compute burst keeps busy; ``None``: all.
        slowdown: How much slower a memory burst makes inferences.
        mean_on_s: Mean length of a burst.
        mean_off_s: Mean pause between two.
        trace: Busy cores over time.
    """

    model: Neighbours = "none"
    cores: float | None = None
    slowdown: float = 1.6
    mean_on_s: float = 60.0
    mean_off_s: float = 60.0
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """What is wanted, ``[mission]``.

    Attributes:
        duration_h: Length in hours.
        deadline_ms: From the arrival of an input to its answer.
        min_quality: Mean quality that must be reached, in the metric's unit. Without a battery and an energy goal the
            aim is then the least energy.
        last_until_end: Whether the controller is told when the mission ends.
        late_quality: What a late or missing answer is worth, in the metric's unit. ``None``: 0 for accuracy and
            agreement, else the quality of the worst point.
        energy_mj: Mean energy of an input above the idle board that must not be exceeded.
    """

    duration_h: float
    deadline_ms: float | None = None
    min_quality: float | None = None
    last_until_end: bool = False
    late_quality: float | None = None
    energy_mj: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Chance, ``[random]``.

    Attributes:
        seed: Of everything that is drawn; the same seed gives the same figures.
        runs: How often the mission is simulated, each time with other draws.
        model_error: How wrong the profile and the bundle are: standard deviation of each figure, as a share.
    """

    seed: int = 0
    runs: int = 5
    model_error: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The TOML file."""

    schema: int
    device: Board
    mission: Mission
    title: str = ""
    battery: Pack | None = None
    ambient: Ambient = field(default_factory=lambda: Ambient(celsius=25.0))
    solar: Solar | None = None
    load: Load = field(default_factory=lambda: Load(rate_hz=1.0))
    contention: Contention = field(default_factory=Contention)
    random: Random = field(default_factory=Random)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A validated document with the traces that it names.

    Attributes:
        name: Of the file, without its ending.
        doc: What the file says.
        ambient: °C over time; ``None`` when constant.
        solar: W/m² over time.
        load: Inputs that come at each moment.
        contention: Busy cores over time.
        path: The file; ``None`` when made in code.
    """

    name: str
    doc: Document
    ambient: Trace | None = None
    solar: Trace | None = None
    load: Trace | None = None
    contention: Trace | None = None
    path: Path | None = None

    @property
    def duration_s(self) -> float:
        """Length of the mission in s."""
        return self.doc.mission.duration_h * 3600.0

    @property
    def deadline_s(self) -> float | None:
        """Deadline in s."""
        ms = self.doc.mission.deadline_ms
        return None if ms is None else ms / 1e3
