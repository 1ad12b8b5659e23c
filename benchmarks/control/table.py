"""The results as pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.control.missions import RESERVE_PCT, Figures
from benchmarks.control.protocol import ENVIRONMENTS, Judged, harmonic
from edgehybrid.runtime.simulation import CONTROLLERS

_BOUND = (
    "`oracle` chooses with knowledge of each input's own jitter and difficulty, which nothing tells before it has "
    "run. `oracle-blind` knows all else (the board, neighbours and drift at every moment, the future), so its distance "
    "to `oracle` is a bound that no controller gets under, but by luck."
)
_WORDS = (
    "to blind: as above, to the blind oracle. equal: over all settings that are not late, to an oracle that is asked "
    "for the very quality that the controller reached (energy) or given the very energy that it took (error); without "
    "a power sensor nobody knows the board's watts better than 10 %, so controllers overrun energy goals or waste, and "
    "only this compares like with like; the row of `oracle-blind` is the bound. switches/10 s: mean and most over the "
    "settings without contention."
)


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
            **_distances(mine, kept),
            "energy_to_static": _less_one(harmonic([j.static for j in kept if j.energy is not None])),
            "error_to_static": _less_one(harmonic([j.static for j in kept if j.error is not None])),
            **{f"late_{e}": _mean([j.late for j in mine if j.setting.environment == e]) for e in ENVIRONMENTS},
        }
    return found


def _distances(mine: Sequence[Judged], kept: Sequence[Judged]) -> dict[str, float | None]:
    """Return the distances that do not depend on what nobody can know: see ``_WORDS``."""
    found: dict[str, float | None] = {}
    for word, saving in (("energy", True), ("error", False)):
        of = [j for j in mine if (j.energy is not None) == saving]
        found[f"{word}_to_blind"] = _less_one(_mean([j.blind for j in kept if (j.energy is not None) == saving]))
        found[f"{word}_equal"] = _less_one(_mean([j.equal for j in of if j.equal is not None]))
        found[f"{word}_equal_blind"] = _less_one(_mean([j.equal_blind for j in of if j.equal_blind is not None]))
        median = [j.equal_blind for j in of if j.equal_blind is not None]
        found[f"{word}_equal_blind_median"] = float(np.median(median)) - 1 if median else None
    calm = [j.switches for j in mine if j.setting.environment == "none"]
    return {**found, "switches_per_10s": _mean(calm), "most_switches_per_10s": max(calm, default=None)}


def markdown(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page of what has been measured: by part, by work."""
    words = [
        "# The controller beside others, in simulation",
        "`python -m benchmarks.control`. Work `family` is made: five points, each 1.65 times as "
        "quick as the one before. `keyword_spotter` is the sample's export, with exits. "
        "Others have been tried on the board, ours has not: it starts from the bundle's figures alone.",
        _BOUND,
    ]
    for work in dict.fromkeys(name for part in _BY_WORK for name in parts[part]):
        words.append(f"## {work}")
        for part, write in _BY_WORK.items():
            words += write(parts[part][work]) if work in parts[part] else []
    return "\n\n".join([*words, *_ahead(parts["prediction"])]) + "\n"


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
    distances = ("to_blind", "equal", "equal_blind", "equal_blind_median")
    fair = [
        (
            name,
            *(_more(f[f"{word}_{way}"]) for word in ("energy", "error") for way in distances),
            _points(f["switches_per_10s"] or 0.0),
            _points(f["most_switches_per_10s"] or 0.0),
        )
        for name, f in figures.items()
    ]
    columns = ("to blind", "equal", "equal, blind", "its median")
    second = ("controller", *(f"{w} {c}" for w in ("energy", "error") for c in columns), "switches/10 s", "most")
    return ["### Constraint settings", words, _table(head, rows), _WORDS, _table(second, fair)]


def _sensor(figures: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    mine = figures["edgehybrid"]
    return [
        "The same with a power sensor on the board (every reading within 2 %), ours alone: goal missed "
        f"{_share(mine['missed'])}, error at equal energy {_more(mine['error_equal'])}, to the blind oracle "
        f"{_more(mine['error_equal_blind'])}. Inferences add a twentieth to what the board takes, so even a sensor "
        "tells their watts only where neighbours or the mission move the load."
    ]


def _mixes(figures: Figures) -> list[str]:
    rows = [
        (name, _more(f["more_than_program"]), _more(f["more_energy"]), _share(f["missed"]))
        for name, f in figures.items()
    ]
    words = (
        "Quality goals between two points, no model error, no contention. LP: the linear program over two options by "
        "what each brings and takes on average, POET's optimum. The oracle knows each input besides."
    )
    columns = ("controller", "energy to LP", "energy to oracle", "goal missed")
    return ["### Two points for one goal", words, _table(columns, rows)]


def _battery(figures: Figures) -> list[str]:
    draws = next(iter(figures.values()))["draws"]
    rows = [
        (
            name,
            _share(f["lasted"]),
            _points(f["lost_pt"]),
            _points(f["worst_lost_pt"]),
            f"{f['left_pct']:.1f} %",
            f"{f['above_oracle_pct']:.1f} %",
            f"{f['switches_per_10s']:.3f}",
        )
        for name, f in figures.items()
    ]
    words = (
        f"Three hours, gauge in steps of 2 %, model error 10 %, {draws:.0f} draws in which both oracles answer "
        "everything. lost: accuracy points below it, where it lasted; left: charge at the end; above: the oracle's "
        "taken off."
    )
    return [
        "### A battery that must last",
        words,
        _table(("controller", "lasted", "lost", "worst", "left", "above", "switches/10 s"), rows),
    ]


def _many(figures: Figures) -> list[str]:
    many = figures["edgehybrid"]
    return [
        f"Ours in more draws: lasted in {_share(many['lasted'])} of {many['draws']:.0f}, lost {many['lost_pt']:.2f} "
        f"points (worst {many['worst_lost_pt']:.2f}), left {many['left_pct']:.1f} %, which is "
        f"{many['above_oracle_pct']:.1f} % of the capacity above the oracle "
        f"(most {many['most_above_oracle_pct']:.1f} %). The plan itself keeps {RESERVE_PCT:.1f} % back, as voltages "
        f"give in there: {many['above_plan_pct']:.1f} % were left above it, or above what the oracle could not use."
    ]


def _again(f: Mapping[str, float]) -> list[str]:
    return [
        "A second day with what the first one taught (`Engine(memory=FILE)`; inputs, drift and the gauge's error "
        f"drawn anew): lasted in {_share(f['lasted'])} of {f['draws']:.0f}, lost {f['lost_pt']:.2f} points (worst "
        f"{f['worst_lost_pt']:.2f}), left {f['above_oracle_pct']:.1f} % of the capacity above the oracle."
    ]


def _heat(figures: Figures) -> list[str]:
    rows = [
        (
            name,
            _share(f["throttled"]),
            f"{f['hottest_c']:.1f} °C",
            _share(f["quality_to_oracle"]),
            f"{f['switches_per_10s']:.2f}",
        )
        for name, f in figures.items()
    ]
    words = (
        "A bare Raspberry Pi 4B, three busy neighbours, 22 to 36 °C; quality over that of an oracle that stays cool."
    )
    return ["### Heat", words, _table(("controller", "throttled", "hottest", "quality", "switches/10 s"), rows)]


def _foreign(f: Mapping[str, float]) -> list[str]:
    words = (
        f"{f['cases']:.0f} cases: a Pi 4B with the profile of another board, latencies off by 0.5 or 2 times what the "
        "others would know, 10 % a point, nothing told. From the twentieth inference on, energy over the blind "
        f"oracle's for the same quality: mean {_more(f['regret'])}, median {_more(f['median'])}, worst "
        f"{_more(f['worst'])}; within 10 % in {_share(f['within_10_pct'])}; quality missing {f['quality_missing']:.4f}."
    )
    return ["### From a foreign device's profile", words]


def _ahead(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        (
            name,
            f"{f['n']:.0f}",
            f"{f['rms_c']:.2f}",
            f"{f['persistence_c']:.2f}",
            f"{f.get('rms_all_c', f['rms_c']):.2f}",
        )
        for name, f in figures.items()
    ]
    words = (
        "Root mean square in K of the controller's own predictor, at least 60 s ahead. Recorded: watts are only "
        "guessed from the load; all: with the rows in which the firmware had lowered the clock. Plant: resistances, "
        "time constants, watts 10 % off, ambient unknown. still: that nothing changes."
    )
    return ["## Temperature a minute ahead", words, _table(("source", "n", "rms", "still", "all"), rows)]


_BY_WORK: Mapping[str, Callable[[Any], list[str]]] = {
    "settings": _protocol,
    "sensor": _sensor,
    "two_points": _mixes,
    "battery": _battery,
    "battery_many": _many,
    "second_day": _again,
    "heat": _heat,
    "foreign": _foreign,
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _share(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def _more(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:+.1f} %"


def _less_one(value: float | None) -> float | None:
    return None if value is None else value - 1
