"""Makes pi4-ups.recording.jsonl: a Raspberry Pi 4B on a UPS HAT that heats up, drains, and is plugged in at last.

    python make_recording.py --trace 1MFf.csv

The trace is the monitoring table of sbc-bench result 1MFf (Raspberry Pi 4B Rev 1.1, BSD-3-Clause, licence beside the
recording) as CSV with the columns ``t_s, freq_a_mhz, load1, cpu_pct, temp_c``. It lasts 872 s: twelve minutes with
one core busy, then four cores up to 81.8 °C, where it ends. So the recording plays it at a slower pace, then backwards
to cool down; battery, pressure and firmware bits are computed. The header of the file says the same.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgehybrid.profiles import load_device
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.testing import Recording, device_files
from edgehybrid.testing.recording import Frame, Header, difference

HERE = Path(__file__).parent
STEP_S = 12.0
LOAD_STARTS_S = 726.0  # in the trace: before, one core busy; after, four
EASE, RUSH = 3.0, 5.0  # how many times slower the two sections are played
PACK_WH = 9.25  # one 18650 cell of 2.5 Ah at 3.7 V
BOOST = 0.9  # efficiency of the HAT's converter
START_PCT, EMPTY_PCT = 85.0, 5.0
CHARGE_W, CHARGE_S = 9.0, 600.0
SENSOR_C = 0.487  # step of the SoC's sensor
HOT_C = 80.0
HOT_BITS, HOT_ONCE = 0x60006, 0x60000  # clock capped and throttled, now and since boot

SOURCE = (
    "Temperature, clock and CPU share: sbc-bench results/1MFf.txt (Raspberry Pi 4B Rev 1.1, 24 Jun 2019; "
    "github.com/ThomasKaiser/sbc-bench), interpolated between its 26 rows. Its first 726 s (one core busy) are played "
    "3 times slower, its last 146 s (four cores, up to 81.8 °C) 5 times slower; then both backwards, because it ends "
    "at its hottest: the cooling is the mirrored heating, not a measurement. Clock: 1500 MHz throughout, as the trace "
    "says. Computed, not measured: the battery (9.25 Wh, 90 % converter; drained by the watts of profile "
    "raspberry-pi-4b at the trace's CPU share, shown by a gauge of 1 % steps, then 10 minutes at 9 W), get_throttled "
    "(set from 80 °C on), pressure (grows above 70 % CPU), memory (constant)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Columns of the trace, each of shape ``(rows,)``."""

    t_s: np.ndarray
    mhz: np.ndarray
    cpu_pct: np.ndarray
    temp_c: np.ndarray

    def at(self, column: str, t_s: float) -> float:
        """Interpolate a column."""
        return float(np.interp(t_s, self.t_s, getattr(self, column)))


def read_trace(path: Path) -> Trace:
    """Read the CSV."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = {k: np.array([float(r[k]) for r in rows]) for k in ("t_s", "freq_a_mhz", "cpu_pct", "temp_c")}
    cpu = column["cpu_pct"].copy()
    cpu[0] = cpu[1]  # the first row covers the time before the benchmark
    return Trace(t_s=column["t_s"], mhz=column["freq_a_mhz"], cpu_pct=cpu, temp_c=column["temp_c"])


def trace_time(t_s: float, end_s: float) -> float:
    """Say which moment of the trace plays at ``t_s``: slowly up, slowly back, and again."""
    ease, rush = LOAD_STARTS_S * EASE, (end_s - LOAD_STARTS_S) * RUSH
    phase = t_s % (2 * (ease + rush))
    if phase > ease + rush:
        phase = 2 * (ease + rush) - phase
    return phase / EASE if phase < ease else LOAD_STARTS_S + (phase - ease) / RUSH


def moments(trace: Trace) -> Iterator[tuple[float, dict[str, str]]]:
    """Give the tree of every step: on the battery until it is nearly empty, then on the charger."""
    device = load_device("raspberry-pi-4b")
    model, cores = EnergyModel(device), device.cpu.cores
    wh, t_s, busy_s, idle_s, hot_once = PACK_WH * START_PCT / 100, 0.0, 100.0, 3000.0, False
    plugged_at: float | None = None
    while plugged_at is None or t_s - plugged_at <= CHARGE_S:
        now = trace_time(t_s, float(trace.t_s[-1]))
        cpu = trace.at("cpu_pct", now)
        temp = round(trace.at("temp_c", now) / SENSOR_C) * SENSOR_C
        if 100 * wh / PACK_WH <= EMPTY_PCT and plugged_at is None:
            plugged_at = t_s
        charging = plugged_at is not None
        drain_w = -CHARGE_W if charging else model.watts(cores * cpu / 100).value / BOOST
        hot_once = hot_once or temp >= HOT_C
        bits = HOT_BITS if temp >= HOT_C else HOT_ONCE if hot_once else 0
        yield (
            t_s,
            {
                **_battery(wh, drain_w, charging),
                **device_files.temperature_files(temp),
                **device_files.clock_files(trace.at("mhz", now), cap_mhz=1500, max_mhz=1500),
                **device_files.stat_files(busy_s=busy_s, idle_s=idle_s),
                **device_files.pressure_files(cpu_pct=round(max(0.0, (cpu - 70) / 30) * 20, 1)),
                **device_files.throttle_files(bits),
            },
        )
        wh -= drain_w * STEP_S / 3600
        busy_s += cores * STEP_S * cpu / 100
        idle_s += cores * STEP_S * (1 - cpu / 100)
        t_s += STEP_S


def _battery(wh: float, drain_w: float, charging: bool) -> dict[str, str]:
    pct = int(100 * wh / PACK_WH)  # the gauge steps by 1 %
    status = "Charging" if charging else "Discharging"
    battery = device_files.battery_files(
        pct=pct, energy_full_wh=PACK_WH, power_w=round(abs(drain_w), 1), status=status, name="ups"
    )
    return {**battery, **device_files.mains_files(online=charging, name="ups-charger")}


def main() -> None:
    """Write the recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "pi4-ups.recording.jsonl")
    args = parser.parse_args()
    constant = {
        **device_files.model_files("Raspberry Pi 4 Model B Rev 1.1"),
        **device_files.core_files(4),
        **device_files.memory_files(available_mib=3100, total_mib=3800),
    }
    frames: list[Frame] = []
    before: dict[str, str] = {}
    for t_s, tree in moments(read_trace(args.trace)):
        whole = {**constant, **tree}
        frames.append(Frame(t_s=t_s, files=difference(before, whole)))
        before = whole
    header = Header(schema=1, board="Raspberry Pi 4 Model B, UPS HAT", source=SOURCE, licence="BSD-3-Clause")
    recording = Recording(header=header, frames=tuple(frames))
    recording.save(args.out)
    print(f"{args.out}: {recording.duration_s / 60:.0f} min, {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
