"""How boards warm up, by case: step responses as thermal resistances.

A board whose step from idle to full load takes ``w`` extra watts and answers ``A (1 - exp(-t / tau))`` has the
thermal resistance ``A / w`` in that pole. The fits (rms 0.4 to 0.8 K) are to the step responses in
github.com/nschloe/stressberry and, for ``payload``, github.com/TiansuanConstellation/MobiCom24-SatelliteCOTS, where
the steady state follows 27.3 °C + 6.7 K/W.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.profiles import DeviceProfile, Pole


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPath:
    """One pole: temperature above ambient per watt of the whole board, and how fast it gets there."""

    kelvin_per_w: float
    tau_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    step_w: float
    poles: tuple[Pole, ...]
    words: str


def _poles(*pairs: tuple[float, float]) -> tuple[Pole, ...]:
    return tuple(Pole(kelvin=kelvin, tau_s=tau_s) for kelvin, tau_s in pairs)


_PI3_W, _PI3PLUS_W, _PI4_W = 2.8, 2.5, 3.26  # extra watts of full load

_CASES: Mapping[str, _Case] = {
    "open": _Case(step_w=_PI4_W, poles=_poles((9.5, 5), (15.8, 100)), words="bare board, Pi 4B"),
    "closed": _Case(step_w=_PI4_W, poles=_poles((3.9, 12), (16.7, 200)), words="case with its fan off, Pi 4B"),
    "fan": _Case(step_w=_PI4_W, poles=_poles((3.7, 3), (6.2, 80)), words="case with its fan on, Pi 4B"),
    "flirc": _Case(step_w=_PI4_W, poles=_poles((6.9, 3), (8.7, 260)), words="Flirc aluminium case, Pi 4B"),
    "armor": _Case(step_w=_PI4_W, poles=_poles((7.4, 3), (13.5, 340)), words="Armor aluminium case, Pi 4B"),
    "tower": _Case(step_w=_PI4_W, poles=_poles((6.1, 3), (2.4, 160)), words="Ice Tower with fan, Pi 4B"),
    "payload": _Case(step_w=_PI4_W, poles=_poles((9.5, 25), (12.3, 500)), words="closed satellite payload, Pi 4B"),
    "pi3-open": _Case(step_w=_PI3_W, poles=_poles((16.1, 5), (19.8, 80)), words="bare board, Pi 3B"),
    "pi3-acrylic": _Case(step_w=_PI3_W, poles=_poles((14.2, 5), (19.9, 60)), words="acrylic case, Pi 3B"),
    "pi3-heatsink": _Case(step_w=_PI3_W, poles=_poles((7.4, 8), (8.6, 450)), words="small heat sink, Pi 3B"),
    "pi3plus-flirc": _Case(step_w=_PI3PLUS_W, poles=_poles((7.5, 8), (9.5, 130)), words="Flirc case, Pi 3B+"),
}


def case_names() -> Mapping[str, str]:
    """Names of the cases, each with what it is."""
    return {name: case.words for name, case in _CASES.items()}


def heat_paths(device: DeviceProfile, case: str | None) -> tuple[HeatPath, ...]:
    """Return the thermal resistances of ``device`` in ``case``.

    Without a case those of its profile; a profile without poles is taken for a bare Pi 4B, watt for watt (a bare Pi 5
    reaches 81 °C with 7.4 W at 22 °C: 8.0 K/W, the bare Pi 4B has 7.8).
    """
    if case is not None:
        found = _CASES[case]
        poles, step_w = found.poles, found.step_w
    elif device.thermal.poles:
        poles, step_w = device.thermal.poles, device.power.busy_w[-1] - device.power.idle_w
    else:
        poles, step_w = _CASES["open"].poles, _PI4_W
    return tuple(HeatPath(kelvin_per_w=pole.kelvin / step_w, tau_s=pole.tau_s) for pole in poles)
