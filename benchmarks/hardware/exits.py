"""Exits on several back ends: ``python -m benchmarks.hardware.exits [WORK ...]``.

Each sample is exported once with ``--exits auto --backends onnx,tflite``, so that everything is timed in turn, one
thread: the fastest point of each kind that loses at most one hundredth, beside float as given. Points with exits are
the mean over the evaluation inputs, under thresholds that the input itself did not help to choose.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.export.works import Work, find_works
from benchmarks.hardware.parts import read_part, write_part
from edgehybrid.exporters import ExportOptions, ExportResult, export
from edgehybrid.points import REFERENCE

SAMPLES = ("keyword_spotter", "camera_classifier")
SECTION = "exits"
KINDS: dict[str, Callable[[str], bool]] = {
    "onnx": lambda name: "~" not in name and not name.startswith(("tflite-", "mixed-")),
    "placed": lambda name: "~" not in name and name.startswith(("tflite-", "mixed-")),
    "onnx, exits": lambda name: "~" in name and not name.startswith("placed"),
    "placed, exits": lambda name: "~" in name and name.startswith("placed"),
}


def main() -> int:
    """Measure the named samples, and keep what was measured of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", default=list(SAMPLES), help="samples; both by default")
    parser.add_argument("--effort", default="quick", choices=("quick", "standard", "thorough"))
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for timing all candidates")
    options = parser.parse_args()
    found: dict[str, Any] = dict(read_part(SECTION).get("works", {}))
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        works, _ = find_works(Path(top))
        for name in options.works:
            found[name] = one(works[name], Path(top) / f"{name}.bundle", options.effort, options.budget)
            write_part(SECTION, {"works": found}, markdown(found))
    return 0


def one(work: Work, out: Path, effort: Any, budget_s: float) -> dict[str, Any]:
    """Export one sample, and tell what each kind of point reached."""
    options = ExportOptions(
        effort=effort,
        budget_s=budget_s,
        metric=work.metric,
        max_drop=0.01,
        levels=5,
        gate=False,
        exits="auto",
        backends=("onnx", "tflite"),
    )
    result = export(work.model, out, data=work.calibration, eval_data=work.evaluation, options=options)
    return {
        "kinds": {kind: _best(result, belongs) for kind, belongs in KINDS.items()},
        "points": {
            p.name: "+".join(dict.fromkeys(p.placement.values())) + (", exits" if p.exits else "")
            for p in result.points
        },
        "not_placed": [f"{item.name}: {item.reason}" for item in result.dropped if item.name.startswith("placed")],
    }


def _best(result: ExportResult, belongs: Callable[[str], bool]) -> dict[str, Any] | None:
    bad = {item.name for item in result.dropped if item.reason.startswith(("loses", "gives NaN"))}
    names = [name for name in result.speedups if name not in bad | {REFERENCE} and belongs(name)]
    if not names:
        return None
    best = max(names, key=lambda name: result.speedups[name].median)
    return {"candidate": best, "speedup": result.speedups[best].median, "words": result.speedups[best].describe()}


def markdown(found: dict[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Exits on several back ends",
        "",
        "`python -m benchmarks.hardware.exits`: times the speed of the float model as given, one thread, in turn; with "
        "exits the mean over the evaluation inputs. ONNX Runtime and LiteRT.",
        "",
        f"| sample | {' | '.join(KINDS)} | points of the bundle |",
        "| --- |" + " --- |" * (len(KINDS) + 1),
    ]
    for name, one_ in found.items():
        cells = [
            "-" if way is None else f"{way['words']} {way['candidate']}"
            for way in (one_["kinds"][kind] for kind in KINDS)
        ]
        points = ", ".join(f"{point} {place}" for point, place in one_["points"].items())
        lines.append(f"| {name} | {' | '.join(cells)} | {points} |")
    lines.append("")
    lines += [f"- {name}: {why}" for name, one_ in found.items() for why in one_["not_placed"]]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
