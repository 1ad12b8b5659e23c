"""What a run showed, for a person."""

from __future__ import annotations

from pathlib import Path

from edgehybrid.bundle import Bundle
from edgehybrid.cli.bundle_tables import quality_words
from edgehybrid.cli.printing import out, share, table
from edgehybrid.runtime.trial import Trial


def print_trial(trial: Trial, bundle: Bundle, *, recorded: bool, plot: Path | None) -> None:
    """Print the decisions in order, then the totals."""
    console = out()
    rows = [
        (str(i), clock(d.at_s), f"{d.source} → {d.target}", d.reason) for i, d in enumerate(trial.decisions, start=1)
    ]
    if rows:
        title = "When and why the engine switched" + (" (recorded time)" if recorded else "")
        console.print(table(title, ("#", "at", "switch", "why"), rows, left=4))
    else:
        console.print("The engine never switched.")
    quality = trial.quality
    console.print(
        table(
            "The run",
            ("figure", "value"),
            [
                ("inputs", f"{trial.n}, {trial.dropped} dropped"),
                (quality.metric, quality_words(quality)),
                (
                    "latency p50 / p95 / p99",
                    f"{_ms(trial.latency_ms.p50)} / {_ms(trial.latency_ms.p95)} / {_ms(trial.latency_ms.p99)} ms",
                ),
                *([("late", share(trial.late))] if trial.late is not None else []),
                ("CPU", f"{trial.cpu_s:.2f} s"),
                (
                    "energy",
                    f"{trial.energy_j.value:.3g} ± {trial.energy_j.uncertainty:.2g} J (by {trial.energy_j.method})",
                ),
                (
                    "points",
                    ", ".join(
                        f"{p.name} {share(trial.points[p.name])}" for p in bundle.points if p.name in trial.points
                    ),
                ),
            ],
        )
    )
    if plot is not None:
        console.print(f"picture: {plot}")


def clock(at_s: float) -> str:
    """Say a time since the start: ``1:23:45``."""
    minutes, seconds = divmod(round(at_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _ms(value: float) -> str:
    return f"{value:.3g}"
