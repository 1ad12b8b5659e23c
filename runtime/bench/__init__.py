"""Figures measured on the device itself: how they are taken, where they are kept, and how points get them."""

from edgehybrid.runtime.bench.background import BackgroundBench
from edgehybrid.runtime.bench.figures import Figures
from edgehybrid.runtime.bench.measuring import Weather, measure
from edgehybrid.runtime.bench.store import Store, choose, fingerprint, full_ms, with_figures
from edgehybrid.runtime.bench.streams import measure_streams, run_stream
from edgehybrid.runtime.bench.values import PointFigures, StreamFigures, Supply, Table

__all__ = [
    "BackgroundBench",
    "Figures",
    "PointFigures",
    "Store",
    "StreamFigures",
    "Supply",
    "Table",
    "Weather",
    "choose",
    "fingerprint",
    "full_ms",
    "measure",
    "measure_streams",
    "run_stream",
    "with_figures",
]
