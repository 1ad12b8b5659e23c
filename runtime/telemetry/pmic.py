"""Power of a Raspberry Pi 5, from the rails that its power controller measures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry.files import garbage
from edgehybrid.runtime.telemetry.snapshot import Reading, Trust
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.runtime.telemetry.vcgencmd import Vcgencmd

QUESTION = "pmic_read_adc"
_LINE = re.compile(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(-?\d{1,4}\.\d{1,12})[AV]\s*$", re.MULTILINE | re.ASCII)
_SLOPE, _OFFSET_W = 1.1451, 0.5879
_ERROR_W = 0.5  # what USB and HATs take is seen only by this fit
_STALE_S = 10.0


def parse_pmic(text: str) -> dict[str, tuple[float, float]]:
    """Amperes and volts of each rail that has both; ``EXT5V`` and ``BATT`` have volts only."""
    found: dict[str, dict[str, float]] = {}
    for rail, kind, value in _LINE.findall(text):
        found.setdefault(rail, {})[kind] = float(value)
    return {rail: (v["A"], v["V"]) for rail, v in found.items() if v.keys() == {"A", "V"}}


def wall_w(rails: Mapping[str, tuple[float, float]]) -> float:
    """Power at the socket: 1.1451 times the rails' sum plus 0.5879 W, fitted over 50 s means by jfikar/RPi5-power."""
    return _SLOPE * sum(amps * volts for amps, volts in rails.values()) + _OFFSET_W


@dataclass(slots=True, kw_only=True)
class Pmic:
    """``vcgencmd pmic_read_adc``: a process a sample, so it is asked seldom and its answer is some seconds old."""

    tool: Vcgencmd
    name: str = "power controller"
    fields: tuple[str, ...] = ("power_w",)

    def discover(self) -> None:
        """Look for the program."""
        self.tool.discover()

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the tool has a clock of its own
        """Fetch the last answer, ask again if it is time."""
        where = f"vcgencmd {QUESTION}"
        if not self.tool.measures_power:
            return {"power_w": missing(where, "no Raspberry Pi 5")}
        answer = self.tool.ask(QUESTION)
        if answer.said.text is None:
            return {"power_w": missing(where, answer.said.note)}
        rails = parse_pmic(answer.said.text)
        watts = wall_w(rails)
        if len(rails) < 3 or not 0.5 <= watts <= 40:
            why = garbage(answer.said.text) if len(rails) < 3 else f"{watts:.3g} W cannot be"
            return {"power_w": insane(where, why)}
        age = answer.age_s or 0.0
        note = f"fitted from {len(rails)} rails; USB and HATs are not measured"
        error = _ERROR_W + 0.05 * watts
        trust: Trust = "stale" if age > _STALE_S else "good"
        reading = Reading(
            value=watts, source=where, trust=trust, age_s=age, note=note, scope="board", uncertainty=error
        )
        return {"power_w": reading}
