"""What the board's sensors tell: rounded, noisy, and in one case wrong."""

from __future__ import annotations

from edgehybrid.runtime.simulation.plant import PlantState, speed_of, temperature_c
from edgehybrid.runtime.simulation.world import World
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import clip

_QUANTUM_C = 0.5  # of the Pi's sensor: 0.5 to 1 °C
_TEMP_SD_C = 0.3
_POWER_SD = 0.02
_PRESSED_PCT = 60.0  # pressure when every thread of ours waits for a core half of the time


def sense(state: PlantState, world: World, busy_cores: float) -> Snapshot:
    """Read the sensors.

    The clock is always the nominal one, also while the firmware runs slower: so do real boards (a Pi 3B told 1200
    MHz at 657). Only the flag of the firmware tells.

    Args:
        state: The board.
        world: The truth, for noise, ambient and neighbours.
        busy_cores: Cores that our inferences kept busy since the last look.
    """
    cell = world.cell(state.at_s)
    noise = world.sensor_noise.item(cell)
    cpu = world.device.cpu
    temp_c = temperature_c(state, world.ambient_c.item(cell)) + _TEMP_SD_C * noise
    others = world.neighbours.item(cell)
    charge, pack = state.charge, world.scenario.doc.battery
    pct = wh = watts = None
    if charge is not None and pack is not None:
        pct = charge.gauge_pct
        wh = pct / 100.0 * pack.capacity_wh
        watts = charge.watts * (1.0 + _POWER_SD * noise) if pack.power_sensor else None
    measured = world.scenario.doc.device.power_sensor
    return Snapshot(
        at_s=state.at_s,
        battery_pct=pct,
        battery_wh=wh,
        battery_w=watts,
        on_mains=pack is None,
        power_w=state.power_w * (1.0 + _POWER_SD * noise) if measured else None,
        power_scope="board" if measured else None,
        soc_temp_c=round(temp_c / _QUANTUM_C) * _QUANTUM_C,
        throttled=speed_of(state) < 1.0,
        cpu_load_pct=100.0 * clip((busy_cores + others) / cpu.cores, 0.0, 1.0),
        cpu_mhz=cpu.max_mhz,
        cpu_cap_mhz=cpu.max_mhz,
        cpu_cores=float(cpu.cores),
        cpu_pressure_pct=_PRESSED_PCT * clip((busy_cores + others - cpu.cores) / cpu.cores, 0.0, 1.0),
    )
