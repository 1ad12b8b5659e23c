"""What the device says about itself, one file per source."""

from edgehybrid.runtime.telemetry.accelerators import AcceleratorReport, find_accelerators
from edgehybrid.runtime.telemetry.slope import Slope
from edgehybrid.runtime.telemetry.snapshot import Reading, Scope, Snapshot, Trust
from edgehybrid.runtime.telemetry.source import Source, SourceReport
from edgehybrid.runtime.telemetry.telemetry import Telemetry

__all__ = [
    "AcceleratorReport",
    "Reading",
    "Scope",
    "Slope",
    "Snapshot",
    "Source",
    "SourceReport",
    "Telemetry",
    "Trust",
    "find_accelerators",
]
