"""A study as a table that a newcomer can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgehybrid.cli.printing import out, table
from edgehybrid.runtime.simulation import CONTROLLERS, Figure, Result, Study, figure

_PERCENT = ("accuracy", "agreement")


def print_study(study: Study, *, plot: Path | None) -> None:
    """Print what was simulated, the table, and what its words mean."""
    console, doc = out(), study.scenario.doc
    runs = len(study.results[0].outcomes)
    console.print(doc.title or study.scenario.name, style="bold")
    console.print(
        f"{doc.device.profile}, {doc.mission.duration_h:g} h, {study.results[0].outcomes[0].inputs} inputs, "
        f"{runs} run{'s' if runs > 1 else ''} with other draws" + ("; means over the runs" if runs > 1 else "")
    )
    columns, rows = study_rows(study)
    console.print(table("", columns, rows))
    for line in legend(study):
        console.print(line)
    if plot is not None:
        console.print(f"picture of the first run: {plot}")


def study_rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head of the table and its rows."""
    doc = study.scenario.doc
    percent = study.metric.startswith(_PERCENT)
    columns = ["controller", f"{study.metric}, %" if percent else study.metric]
    if doc.mission.deadline_ms is not None:
        columns.append("late")
    columns += ["energy", "an input"]
    if doc.battery is not None:
        columns.append("battery")
    columns += ["throttled", "hottest", "switches", "lost", "more energy"]
    return tuple(columns), [_row(study, result) for result in study.results]


def legend(study: Study) -> list[str]:
    """Explain the columns."""
    doc = study.scenario.doc
    lines = [f"{study.metric}: mean over all inputs, ± half its 95 % interval over the runs; a late or missing answer"]
    lines[0] += " counts as " + ("said in the scenario" if doc.mission.late_quality is not None else _missing(study))
    lines.append("energy: of the whole board; an input: of an inference, above the idle board; switches: in one run")
    if doc.battery is not None:
        lines.append("battery: charge at the end, or after how many hours it was empty (in so many of the runs)")
    lines.append("lost, more energy: beside the oracle, which keeps deadline, battery and throttling temperature")
    lines += [f"{result.name}: {CONTROLLERS[result.name]}" for result in study.results]
    return lines


def _missing(study: Study) -> str:
    return "0" if study.metric.startswith(_PERCENT) else "the worst point's"


def _row(study: Study, result: Result) -> tuple[str, ...]:
    doc, outcomes = study.scenario.doc, result.outcomes
    row = [result.name, _quality(study, result)]
    if doc.mission.deadline_ms is not None:
        row.append(f"{100 * _mean(result, lambda o: o.late):.1f} %")
    row.append(f"{_mean(result, lambda o: o.energy_wh):.2f} Wh")
    row.append(f"{_mean(result, lambda o: 1e3 * o.ours_j / max(o.inputs, 1)):.3g} mJ")
    if doc.battery is not None:
        row.append(_battery(result))
    row.append(f"{100 * _mean(result, lambda o: o.throttled):.1f} %")
    row.append(f"{max(o.max_temp_c for o in outcomes):.0f} °C")
    row.append(f"{_mean(result, lambda o: o.switches):.0f}" if not result.name.startswith("oracle") else "-")
    row.append(_lost(study, result))
    more = [value for value in result.more_energy if value is not None]
    row.append(f"{100 * sum(more) / len(more):+.1f} %" if more else "-")
    return tuple(row)


def _mean(result: Result, read: Callable[..., float]) -> float:
    return figure([read(outcome) for outcome in result.outcomes]).mean


def _quality(study: Study, result: Result) -> str:
    found = figure([study.shown(outcome.worth) for outcome in result.outcomes])
    return say(study.metric, found, runs=len(result.outcomes))


def say(metric: str, found: Figure, *, runs: int) -> str:
    """Say a figure with half its interval, in percent where it is a share."""
    half = (found.ci95[1] - found.ci95[0]) / 2
    if metric.startswith(_PERCENT):
        return f"{100 * found.mean:.1f}" if runs == 1 else f"{100 * found.mean:.1f} ± {100 * half:.1f}"
    return f"{found.mean:.4g}" if runs == 1 else f"{found.mean:.4g} ± {half:.2g}"


def _lost(study: Study, result: Result) -> str:
    lost = figure(result.lost).mean
    if study.metric.startswith(_PERCENT):
        return f"{round(100 * lost, 2) + 0.0:.2f} pt"
    return f"{lost:.3g}"


def _battery(result: Result) -> str:
    died: Sequence[float] = [outcome.died_h for outcome in result.outcomes if outcome.died_h is not None]
    runs = len(result.outcomes)
    if not died:
        return f"{_mean(result, lambda o: o.battery_pct or 0.0):.0f} %"
    when = f"{sum(died) / len(died):.1f} h"
    return when if runs == 1 else f"{when} ({len(died)}/{runs})"
