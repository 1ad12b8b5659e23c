"""Raspberry Pi firmware: throttling and under-voltage, from the node behind ``vcgencmd get_throttled``.

Only where that node is missing the program itself is asked, now and then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry.files import Text, garbage, names, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.runtime.telemetry.vcgencmd import Vcgencmd

_BASE = "sys/devices/platform"
_NODE = "get_throttled"
_DEPTH = 4
_UNDER_VOLTAGE = 0x1
_SLOWED = 0xE  # clock capped, throttled, soft temperature limit
_STICKY = 16  # the same four bits since boot
_HEX = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-f]{1,8})", re.IGNORECASE | re.ASCII)


def parse_throttled(text: str) -> int | None:
    """Bits from hexadecimal, with or without ``0x``; ``None`` for anything else."""
    found = _HEX.fullmatch(text.strip())
    return int(found[1], 16) if found else None


def slowed(bits: int, before: int | None) -> bool:
    """Tell whether the firmware lowers the clock, or did since ``before`` was read.

    The upper bits stay set since boot, so only a new one says that something happened between two sweeps.
    """
    fresh = (bits & ~before) >> _STICKY if before is not None else 0
    return bool((bits | fresh) & _SLOWED)


@dataclass(slots=True, kw_only=True)
class Firmware:
    """What the firmware says about heat and power.

    Args:
        root: Where the device tree begins.
        tool: Asked where there is no node.
        detector: Whether the board has an under-voltage detector; ``None`` when the board is unknown.
    """

    root: str
    tool: Vcgencmd
    detector: bool | None = None
    name: str = "firmware"
    fields: tuple[str, ...] = ("throttled", "under_voltage")
    _node: str | None = None
    _before: int | None = None

    def discover(self) -> None:
        """Look for the node below the SoC; its path differs between boards."""
        if self._node is None or not os.path.exists(self._node):
            self._node = next(_find(f"{self.root}{_BASE}", _DEPTH), None)

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read the bits once."""
        where, text, age = self._ask()
        if text.text is None:
            return dict.fromkeys(self.fields, missing(where, text.note))
        bits = parse_throttled(text.text)
        if bits is None or bits >> 20:
            why = garbage(text.text) if bits is None else f"unknown bits in 0x{bits:x}"
            return dict.fromkeys(self.fields, insane(where, why))
        low = bool(bits & _UNDER_VOLTAGE)
        clock = Reading(value=float(slowed(bits, self._before)), source=where, age_s=age, note=f"0x{bits:x}")
        self._before = bits
        if self.detector is False:
            return {"throttled": clock, "under_voltage": missing(where, "this board has no under-voltage detector")}
        note = "" if self.detector else "only if this board has a detector; the Zero range has none"
        return {"throttled": clock, "under_voltage": Reading(value=float(low), source=where, age_s=age, note=note)}

    def _ask(self) -> tuple[str, Text, float]:
        if self._node is not None:
            return shown(self._node, self.root), read(self._node), 0.0
        answer = self.tool.ask(_NODE)
        if answer.said.text is None and self.tool.tool is None:
            return f"/{_BASE}/**/{_NODE}", Text(None, "no Raspberry Pi firmware"), 0.0
        return f"vcgencmd {_NODE}", answer.said, answer.age_s or 0.0


def _find(folder: str, depth: int) -> Iterator[str]:
    """Walk at most ``depth`` folders down; only below a SoC, for a platform can hold thousands of devices."""
    for name in names(folder):
        path = f"{folder}/{name}"
        if name == _NODE:
            yield path
        elif depth and (depth < _DEPTH or name.startswith("soc") or "firmware" in name) and not os.path.islink(path):
            yield from _find(path, depth - 1)
