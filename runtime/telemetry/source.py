"""What every source of readings looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgehybrid.runtime.telemetry.snapshot import Reading, Trust


class Source(Protocol):
    """One kind of sensor. Finds its files under a root, and reads them; never raises for what they contain."""

    @property
    def name(self) -> str:
        """Short name for people: ``battery``."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of a snapshot that it offers."""

    def discover(self) -> None:
        """Look for its files again."""

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Read now. Every field of ``fields`` is in the answer; ages are filled in by the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What ``edgehybrid doctor`` shows of one source."""

    name: str
    offers: tuple[str, ...]  # fields that have a value now
    lacks: tuple[str, ...]  # fields that have none
    path: str
    trust: Trust
    note: str


def missing(source: str, note: str) -> Reading:
    """Make the reading of a sensor that is not there."""
    return Reading(value=None, source=source, trust="missing", age_s=None, note=note)


def insane(source: str, note: str) -> Reading:
    """Make the reading of a sensor that says what cannot be."""
    return Reading(value=None, source=source, trust="insane", age_s=None, note=note)
