"""Joules and watts that say where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from edgehybrid.points import EnergyMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """Energy in J, with its method and the half width of its 95 % interval, in J."""

    value: float
    method: EnergyMethod
    uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watts:
    """Power in W, positive out of the battery, with its method and the half width of its 95 % interval, in W."""

    value: float
    method: EnergyMethod
    uncertainty: float
