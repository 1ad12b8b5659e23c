"""Proof before shipping: the controller, the baselines and the oracle on a simulated board."""

from edgehybrid.runtime.simulation.cases import case_names
from edgehybrid.runtime.simulation.drivers import Driver, Script
from edgehybrid.runtime.simulation.loading import load_scenario
from edgehybrid.runtime.simulation.mission import drive
from edgehybrid.runtime.simulation.outcome import Outcome, Trail
from edgehybrid.runtime.simulation.scenario import (
    Ambient,
    Board,
    Contention,
    Document,
    Load,
    Mission,
    Pack,
    Random,
    Scenario,
    Solar,
)
from edgehybrid.runtime.simulation.study import CONTROLLERS, Figure, Result, Study, figure, run_study
from edgehybrid.runtime.simulation.traces import Trace, make_trace, read_trace
from edgehybrid.runtime.simulation.world import World, draw_world

__all__ = [
    "CONTROLLERS",
    "Ambient",
    "Board",
    "Contention",
    "Document",
    "Driver",
    "Figure",
    "Load",
    "Mission",
    "Outcome",
    "Pack",
    "Random",
    "Result",
    "Scenario",
    "Script",
    "Solar",
    "Study",
    "Trace",
    "Trail",
    "World",
    "case_names",
    "draw_world",
    "drive",
    "figure",
    "load_scenario",
    "make_trace",
    "read_trace",
    "run_study",
]
