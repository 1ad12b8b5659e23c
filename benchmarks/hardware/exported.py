"""What the benchmarks that export samples share: which samples, one part of the results, the best of a kind."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.export.works import Work, find_works
from benchmarks.hardware.parts import read_part, write_part
from edgehybrid.exporters import ExportResult
from edgehybrid.points import REFERENCE

Export = Callable[[Work, Path, Any, float], dict[str, Any]]
"""Work, where its bundle goes, effort, seconds for timing: what came out."""


def run(
    about: str | None,
    section: str,
    samples: Sequence[str],
    export_one: Export,
    markdown: Callable[[Mapping[str, Any]], str],
    *,
    effort: str,
    budget_s: float,
) -> int:
    """Measure the samples named on the command line, and keep what was measured of the others."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", default=list(samples), help="samples; all by default")
    parser.add_argument("--effort", default=effort, choices=("quick", "standard", "thorough"))
    parser.add_argument("--budget", type=float, default=budget_s, help="seconds for timing all candidates")
    options = parser.parse_args()
    found: dict[str, Any] = dict(read_part(section).get("works", {}))
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        works, _ = find_works(Path(top))
        for name in options.works:
            found[name] = export_one(works[name], Path(top) / f"{name}.bundle", options.effort, options.budget)
            write_part(section, {"works": found}, markdown(found))
    return 0


def best(result: ExportResult, belongs: Callable[[str], bool]) -> dict[str, Any] | None:
    """The fastest candidate of a kind that was timed and is good enough, and how much faster than float it is."""
    bad = {item.name for item in result.dropped if item.reason.startswith(("loses", "gives NaN"))}
    names = [name for name in result.speedups if name not in bad | {REFERENCE} and belongs(name)]
    if not names:
        return None
    first = max(names, key=lambda name: result.speedups[name].median)
    return {"candidate": first, "speedup": result.speedups[first].median, "words": result.speedups[first].describe()}


def cell(way: Mapping[str, Any] | None) -> str:
    """Say it in a table."""
    return "-" if way is None else f"{way['words']} {way['candidate']}"
