"""Joules, always with the method that found them and their uncertainty."""

from edgehybrid.runtime.energy.correction import Correction
from edgehybrid.runtime.energy.gauge import Gauge
from edgehybrid.runtime.energy.meter import Meter
from edgehybrid.runtime.energy.model import EnergyModel
from edgehybrid.runtime.energy.sensor import Sensor
from edgehybrid.runtime.energy.values import Joules, Watts

__all__ = ["Correction", "EnergyModel", "Gauge", "Joules", "Meter", "Sensor", "Watts"]
