"""The board: how it warms up, throttles and drains. Pure step functions over a frozen state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgehybrid.profiles import Power, Thermal
from edgehybrid.runtime.simulation.battery import Charge, drain, full
from edgehybrid.runtime.simulation.cases import HeatPath
from edgehybrid.runtime.simulation.world import World
from edgehybrid.units import clip

THROTTLE_HYSTERESIS_C = 2.0
"""The clock comes back this much below where it was cut (assumption)."""

LEAST_CLOCK = 0.5
"""Share of the clock at the critical temperature: a Pi 3B ran 657 of 1200 MHz at 84 °C (sbc-bench 4hOp)."""

_SOFT_CLOCK = 1200 / 1400  # a Pi 3B+ above its soft limit


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantState:
    """The board at one moment.

    Attributes:
        at_s: Time since the start.
        rise_c: Temperature above ambient in each pole.
        clock: Share of the nominal clock that the firmware leaves; no sensor tells.
        soft: Whether the soft limit holds.
        charge: The battery; ``None`` on mains.
        owed_j: Energy of work that was accepted and has not been done yet.
        out_j: Energy that the board has taken so far.
        ours_j: Of that, by inferences.
        dead: Whether the battery has given up.
        power_w: What the board took in the last step.
    """

    at_s: float = 0.0
    rise_c: tuple[float, ...] = ()
    clock: float = 1.0
    soft: bool = False
    charge: Charge | None = None
    owed_j: float = 0.0
    out_j: float = 0.0
    ours_j: float = 0.0
    dead: bool = False
    power_w: float = 0.0


def start(world: World) -> PlantState:
    """Return the idle board, as warm as it is after a long time."""
    idle_w = world.device.power.idle_w
    return PlantState(
        power_w=idle_w,
        rise_c=tuple(path.kelvin_per_w * idle_w for path in world.heat),
        charge=None if world.pack is None else full(world.pack, world.gauge_phase),
    )


def temperature_c(state: PlantState, ambient_c: float) -> float:
    """Return the temperature of the chip."""
    return ambient_c + sum(state.rise_c)


def board_w(power: Power, busy_cores: float) -> float:
    """Return the watts of the board with ``busy_cores`` cores busy, on straight lines between the profile's figures."""
    levels = (power.idle_w, *power.busy_w)
    n = clip(busy_cores, 0.0, len(levels) - 1)
    low = min(int(n), len(levels) - 2)
    return levels[low] + (n - low) * (levels[low + 1] - levels[low])


def core_w(power: Power, busy_cores: float) -> float:
    """Return the extra watts of one of ``busy_cores`` busy cores."""
    n = clip(busy_cores, 1e-6, len(power.busy_w))
    return (board_w(power, n) - power.idle_w) / n


def warm(rise_c: Sequence[float], heat: Sequence[HeatPath], watts: float, dt_s: float) -> tuple[float, ...]:
    """Follow each pole over ``dt_s`` at constant power.

    ``dx/dt = (R P - x) / tau``, solved exactly: ``x = R P + (x0 - R P) exp(-dt / tau)``.
    """
    after = []
    for x, path in zip(rise_c, heat, strict=True):
        end = path.kelvin_per_w * watts
        after.append(end + (x - end) * math.exp(-dt_s / path.tau_s))
    return tuple(after)


def throttle(clock: float, soft: bool, temp_c: float, thermal: Thermal) -> tuple[float, bool]:
    """Return the share of the clock that the firmware leaves, and whether the soft limit holds.

    From ``throttle_c`` to ``critical_c`` the clock falls on a line to half; it rises again on the same line moved down
    by the hysteresis.
    """
    clock = clip(clock, _clock_at(temp_c + THROTTLE_HYSTERESIS_C, thermal), _clock_at(temp_c, thermal))
    if thermal.soft_limit_c is None:
        return clock, False
    soft = temp_c >= thermal.soft_limit_c - (THROTTLE_HYSTERESIS_C if soft else 0.0)
    return clock, soft


def speed_of(state: PlantState) -> float:
    """Return the share of the nominal clock at which the board really runs."""
    return min(state.clock, _SOFT_CLOCK) if state.soft else state.clock


def step(state: PlantState, world: World, dt_s: float, work_j: float) -> PlantState:
    """Move the board on by ``dt_s``.

    Args:
        state: Before.
        world: The truth.
        dt_s: Time.
        work_j: Energy above idle of the inferences that began in this time. What the board cannot do in the time (all
            cores busy) it does later.
    """
    at_s = state.at_s + dt_s
    cell = world.cell(state.at_s)
    power, solar_w = world.device.power, world.solar_w.item(cell)
    clock = speed_of(state)
    if state.dead:
        total_w, ours_w, owed_j = 0.0, 0.0, 0.0
    else:
        others_w = (board_w(power, world.neighbours.item(cell)) - power.idle_w) * clock
        most_w = (power.busy_w[-1] - power.idle_w) * clock
        owed_j = state.owed_j + work_j
        ours_w = min(owed_j / dt_s, most_w)
        owed_j -= ours_w * dt_s
        total_w = power.idle_w + others_w + ours_w
    rise_c = warm(state.rise_c, world.heat, total_w, dt_s)
    temp_c = world.ambient_c.item(cell) + sum(rise_c)
    cut, soft = throttle(state.clock, state.soft, temp_c, world.device.thermal)
    charge, dead = state.charge, False
    if charge is not None and world.pack is not None:
        charge, dead = drain(charge, world.pack, world.gauge_phase, total_w, solar_w, dt_s, was_dead=state.dead)
    return replace(
        state,
        at_s=at_s,
        rise_c=rise_c,
        clock=cut,
        soft=soft,
        charge=charge,
        owed_j=owed_j,
        out_j=state.out_j + total_w * dt_s,
        ours_j=state.ours_j + ours_w * dt_s,
        dead=dead,
        power_w=total_w,
    )


def _clock_at(temp_c: float, thermal: Thermal) -> float:
    share = (temp_c - thermal.throttle_c) / (thermal.critical_c - thermal.throttle_c)
    return 1.0 - (1.0 - LEAST_CLOCK) * clip(share, 0.0, 1.0)
