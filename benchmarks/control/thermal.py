"""The temperature a minute ahead: by the controller's own predictor, on recorded boards and on the simulated plant.

Recorded: sbc-bench runs (github.com/ThomasKaiser/sbc-bench, BSD-3-Clause) of a Pi 3B and a Pi 4B, which the reach is
about, and of others, on which a change that helps these two has to be judged. A row tells the mean
load since the one before; watts follow from it by the profile, so the errors of the profile's watts are in the figure.
The load of the minute ahead is taken as it came, as a controller knows what it is going to run. Rows whose firmware had
already lowered the clock are counted apart: there the watts are not those of the load any more.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgehybrid.profiles import DeviceProfile, Pole, Power, Thermal, load_device
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.learning import board_watts
from edgehybrid.runtime.control.thermal import AHEAD_S, Heat, HeatPole, feel, poles_of, predict
from edgehybrid.runtime.simulation.cases import heat_paths
from edgehybrid.runtime.simulation.plant import board_w, warm

TRACES = Path(os.environ.get("EDGEHYBRID_DATA", Path(__file__).parents[3] / "shared" / "data")) / "traces"
_SLOWED = 0.97  # of the clock that was asked for
_PLANTS, _PLANT_S, _LOOK_S, _ERROR = 40, 900.0, 2.0, 0.1
_OTHERS = {  # no one says what cools these: the profile's poles may be of another case
    "3E85": "raspberry-pi-zero-2w",
    "1ULtUe": "raspberry-pi-5",
    "8-NK": "raspberry-pi-5",
    "Au3jaA": "raspberry-pi-5",
    "frdzAn": "raspberry-pi-5",
}
_PI_3B = Power(idle_w=1.5, busy_w=(2.2, 2.9, 3.6, 4.3), uncertainty=0.3)  # Raspberry Pi documentation: 0.30 to 0.85 A


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a recording."""

    at_s: float
    cores: float
    temp_c: float
    slowed: bool


def pi_3b() -> DeviceProfile:
    """Return a bare Raspberry Pi 3B: watts by its documentation, poles by its step response."""
    like = load_device("raspberry-pi-3b-plus")
    poles = (Pole(kelvin=16.1, tau_s=5), Pole(kelvin=19.8, tau_s=80))
    return replace(
        like, name="raspberry-pi-3b", power=_PI_3B, thermal=Thermal(throttle_c=80, critical_c=85, poles=poles)
    )


def prediction() -> dict[str, Mapping[str, float]]:
    """Return root mean squares in K by source."""
    found: dict[str, Mapping[str, float]] = {}
    for name, trace, device in (("pi-3b", "4hOp", pi_3b()), ("pi-4b", "1MFf", load_device("raspberry-pi-4b"))):
        found |= _recorded(f"{name}, recorded", trace, device)
        found[f"{name}, plant"] = plant(device)
    for trace, name in _OTHERS.items():
        found |= _recorded(f"{name}, {trace}", trace, load_device(name))
    return found


def _recorded(word: str, trace: str, device: DeviceProfile) -> dict[str, Mapping[str, float]]:
    path = TRACES / "board-thermal-power" / f"{trace}.csv"
    return {word: recorded(rows_of(path, device), device)} if path.is_file() else {}


def rows_of(path: Path, device: DeviceProfile) -> list[Row]:
    """Read a recording; the first row of each phase tells no load."""
    with path.open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["temp_c"]]
    return [
        Row(
            at_s=float(line["t_s"]),
            cores=device.cpu.cores * float(line["cpu_pct"]) / 100.0,
            temp_c=float(line["temp_c"]),
            slowed=float(line["freq_b_mhz"]) < _SLOWED * float(line["freq_a_mhz"]),
        )
        for line in lines
        if float(line["cpu_pct"] or 0) > 0
    ]


def recorded(rows: Sequence[Row], device: DeviceProfile) -> Mapping[str, float]:
    """Predict each row that lies a minute or a little more ahead."""
    poles, heat = poles_of(device), Heat()
    errors, slowed, still = [], [], []
    for i, row in enumerate(rows):
        heat = feel(heat, poles, board_watts(device, row.cores), row.temp_c, row.at_s)
        ahead, last = heat, row
        for later in rows[i + 1 :]:
            ahead, last = _driven(ahead, poles, board_watts(device, later.cores), later.at_s - last.at_s), later
            if later.at_s - row.at_s >= AHEAD_S:
                errors.append(predict(ahead, poles, 0.0, 0.0) - later.temp_c)
                slowed.append(later.slowed or row.slowed)
                still.append(row.temp_c - later.temp_c)
                break
    error, kept = np.asarray(errors), ~np.asarray(slowed)
    return {
        "n": float(kept.sum()),
        "rms_c": _rms(error[kept]),
        "rms_all_c": _rms(error),
        "persistence_c": _rms(np.asarray(still)[kept]),
    }


def plant(device: DeviceProfile, seed: int = 0) -> Mapping[str, float]:
    """Predict simulated boards whose watts, resistances, time constants and ambient the predictor does not know."""
    rng, errors, still = np.random.default_rng(seed), [], []
    for _ in range(_PLANTS):
        series = _lived(device, rng)
        ahead = round(AHEAD_S / _LOOK_S)
        for i in range(ahead, len(series) - ahead, 5):
            heat, poles, _, temp_c = series[i]
            for _, _, watts, _ in series[i + 1 : i + 1 + ahead]:
                heat = _driven(heat, poles, watts, _LOOK_S)
            errors.append(predict(heat, poles, 0.0, 0.0) - series[i + ahead][3])
            still.append(temp_c - series[i + ahead][3])
    return {"n": float(len(errors)), "rms_c": _rms(np.asarray(errors)), "persistence_c": _rms(np.asarray(still))}


def _lived(device: DeviceProfile, rng: np.random.Generator) -> list[tuple[Heat, tuple[HeatPole, ...], float, float]]:
    """Run one board under loads that change every minute; what the predictor knew, the watts it was told, the truth."""

    def off() -> float:
        return 1.0 + _ERROR * float(np.clip(rng.standard_normal(), -2, 2))

    paths = [replace(p, kelvin_per_w=p.kelvin_per_w * off(), tau_s=p.tau_s * off()) for p in heat_paths(device, None)]
    ambient_c, scale, idle = float(rng.uniform(15, 35)), off(), device.power.idle_w * off()
    rise = tuple(path.kelvin_per_w * idle for path in paths)
    poles, heat, cores, series = poles_of(device), Heat(), 0.0, []
    for k in range(round(_PLANT_S / _LOOK_S)):
        if k % round(AHEAD_S / _LOOK_S) == 0:
            cores = float(rng.uniform(0, 3))
        rise = warm(rise, paths, idle + scale * (board_w(device.power, cores) - device.power.idle_w), _LOOK_S)
        temp_c, told = ambient_c + sum(rise), board_watts(device, cores)
        sensor_c = round((temp_c + 0.3 * float(rng.standard_normal())) * 2) / 2
        heat = feel(heat, poles, told, sensor_c, (k + 1) * _LOOK_S)
        series.append((heat, poles, told, temp_c))
    return series


def _driven(heat: Heat, poles: tuple[HeatPole, ...], watts: float, dt_s: float) -> Heat:
    """Let the poles follow known watts without a reading."""
    rise = tuple(
        pole.kelvin_per_w * watts + (x - pole.kelvin_per_w * watts) * math.exp(-dt_s / pole.tau_s)
        for x, pole in zip(heat.rise_c, poles, strict=True)
    )
    return evolve(heat, rise_c=rise)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")
