"""The results as pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.control.missions import Figures
from benchmarks.control.protocol import ENVIRONMENTS, Judged, harmonic
from edgehybrid.runtime.simulation import CONTROLLERS


def summarize(judged: Sequence[Judged]) -> dict[str, dict[str, float | None]]:
    """Return the figures of every controller over all settings that the oracle can keep.

    Distances are over the settings that the controller itself kept.
    """
    found: dict[str, dict[str, float | None]] = {}
    for name in (n for n in CONTROLLERS if any(j.name == n for j in judged)):
        mine = [j for j in judged if j.name == name]
        kept = [j for j in mine if not j.late and not j.missed]
        energy = [j.energy for j in kept if j.energy is not None]
        error = [j.error for j in kept if j.error is not None]
        found[name] = {
            "settings": len(mine),
            "late": float(np.mean([j.late for j in mine])),
            "missed": float(np.mean([j.missed and not j.late for j in mine])),
            "energy_to_oracle": float(np.mean(energy)) - 1 if energy else None,
            "error_to_oracle": float(np.mean(error)) - 1 if error else None,
            "energy_to_static": _less_one(harmonic([j.static for j in kept if j.energy is not None])),
            "error_to_static": _less_one(harmonic([j.static for j in kept if j.error is not None])),
            **{f"late_{e}": _mean([j.late for j in mine if j.setting.environment == e]) for e in ENVIRONMENTS},
        }
    return found


def markdown(
    protocol: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    mixes: Mapping[str, Figures],
    batteries: Mapping[str, Figures],
    heats: Mapping[str, Figures],
    seconds: float,
) -> str:
    """Write the page."""
    parts = [
        "# The controller beside others, in simulation",
        f"`python -m benchmarks.control`, {seconds:.0f} s. Work `family` is made: five points, each 1.65 times as "
        "quick as the one before. `keyword_spotter` was measured; its points hardly differ in quality. Others have "
        "been tried on the board, ours has not: it starts from the bundle's figures alone.",
    ]
    for work in protocol:
        parts += [f"## {work}", *_protocol(protocol[work]), *_mixes(mixes[work]), *_battery(batteries[work])]
        parts += _heat(heats[work])
    return "\n\n".join(parts) + "\n"


def _protocol(figures: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    count = next(iter(figures.values()))["settings"]
    distances = ("energy to oracle", "error to oracle", "energy to static", "error to static")
    head = ("controller", "late", *ENVIRONMENTS, "goal missed", *distances)
    rows = [
        (
            name,
            _share(f["late"]),
            *(_share(f[f"late_{e}"]) for e in ENVIRONMENTS),
            _share(f["missed"]),
            *(_more(f[k]) for k in ("energy_to_oracle", "error_to_oracle", "energy_to_static", "error_to_static")),
        )
        for name, f in figures.items()
    ]
    words = (
        f"{count} settings that the oracle can keep, of 42 in each of three environments. late: settings with more "
        "than a tenth of the inputs late, also by environment; goal missed: in time, but quality 0.5 points under or "
        "energy 2 % over the goal; the rest over the settings that the controller kept (energy: quality goals; error: "
        "energy goals), means to the dynamic oracle, harmonic means to the static one."
    )
    return ["### Constraint settings", words, _table(head, rows)]


def _mixes(figures: Figures) -> list[str]:
    rows = [(name, _more(f["more_energy"]), _share(f["missed"])) for name, f in figures.items()]
    words = "Quality goals between two points, no noise, no contention: energy beside the linear program's two points."
    return ["### Two points for one goal", words, _table(("controller", "energy to LP", "goal missed"), rows)]


def _battery(figures: Figures) -> list[str]:
    draws = next(iter(figures.values()))["draws"]
    rows = [
        (
            name,
            _share(f["lasted"]),
            _points(f["lost_pt"]),
            _points(f["worst_lost_pt"]),
            f"{f['left_pct']:.1f} %",
            f"{f['switches_per_h']:.1f}",
        )
        for name, f in figures.items()
    ]
    words = (
        f"Three hours, gauge in steps of 2 %, model error 10 %, {draws:.0f} draws in which the oracle answers "
        "everything. lost: accuracy points below it, where it lasted; left: charge at the end."
    )
    return [
        "### A battery that must last",
        words,
        _table(("controller", "lasted", "lost", "worst", "left", "switches/h"), rows),
    ]


def _heat(figures: Figures) -> list[str]:
    rows = [
        (
            name,
            _share(f["throttled"]),
            f"{f['hottest_c']:.1f} °C",
            _share(f["quality_to_oracle"]),
            f"{f['switches_per_h']:.0f}",
        )
        for name, f in figures.items()
    ]
    words = (
        "A bare Raspberry Pi 4B, three busy neighbours, 22 to 36 °C; quality over that of an oracle that stays cool."
    )
    return ["### Heat", words, _table(("controller", "throttled", "hottest", "quality", "switches/h"), rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def _more(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def _less_one(value: float | None) -> float | None:
    return None if value is None else value - 1
