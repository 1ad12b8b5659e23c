"""Pressure stall information: how much others, or memory, hold us up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry.files import garbage, read
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing

_SOME = re.compile(r"^some avg10=(\d{1,3}(?:\.\d{1,4})?) ", re.MULTILINE | re.ASCII)
_FILES = {"cpu_pressure_pct": "proc/pressure/cpu", "memory_pressure_pct": "proc/pressure/memory"}


def parse_pressure(text: str) -> float | None:
    """``some avg10`` in percent; ``None`` if it is not there or cannot be."""
    found = _SOME.search(text)
    return float(found[1]) if found and float(found[1]) <= 100 else None


@dataclass(slots=True, kw_only=True)
class Pressure:
    """Share of the last ten seconds in which some task waited for a core, or for memory."""

    root: str
    name: str = "pressure"
    fields: tuple[str, ...] = tuple(_FILES)

    def discover(self) -> None:
        """Nothing to look for: the paths are fixed."""

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read both files."""
        return {field: self._one(path) for field, path in _FILES.items()}

    def _one(self, path: str) -> Reading:
        text = read(f"{self.root}{path}")
        if text.text is None:
            return missing(f"/{path}", f"{text.note}; the kernel may need psi=1")
        value = parse_pressure(text.text)
        return insane(f"/{path}", garbage(text.text)) if value is None else Reading(value=value, source=f"/{path}")
