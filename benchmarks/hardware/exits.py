"""Exits on several back ends: ``python -m benchmarks.hardware.exits [WORK ...]``.

Each sample is exported once with ``--exits auto --backends onnx,tflite``, so that everything is timed in turn, one
thread: the fastest point of each kind that loses at most one hundredth, beside float as given. Points with exits are
the mean over the evaluation inputs, under thresholds that the input itself did not help to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.export.works import Work
from benchmarks.hardware.exported import best, cell, run
from edgehybrid.exporters import ExportOptions, export

SAMPLES = ("keyword_spotter", "camera_classifier")
SECTION = "exits"
KINDS: dict[str, Callable[[str], bool]] = {
    "onnx": lambda name: "~" not in name and not name.startswith(("tflite-", "mixed-")),
    "placed": lambda name: "~" not in name and name.startswith(("tflite-", "mixed-")),
    "onnx, exits": lambda name: "~" in name and not name.startswith("placed"),
    "placed, exits": lambda name: "~" in name and name.startswith("placed"),
}


def main() -> int:
    """Measure the named samples."""
    return run(__doc__, SECTION, SAMPLES, one, markdown, effort="quick", budget_s=20.0)


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
        "kinds": {kind: best(result, belongs) for kind, belongs in KINDS.items()},
        "points": {
            p.name: "+".join(dict.fromkeys(p.placement.values())) + (", exits" if p.exits else "")
            for p in result.points
        },
        "not_placed": [f"{item.name}: {item.reason}" for item in result.dropped if item.name.startswith("placed")],
    }


def markdown(found: Mapping[str, Any]) -> str:
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
        cells = [cell(way) for way in (one_["kinds"][kind] for kind in KINDS)]
        points = ", ".join(f"{point} {place}" for point, place in one_["points"].items())
        lines.append(f"| {name} | {' | '.join(cells)} | {points} |")
    lines.append("")
    lines += [f"- {name}: {why}" for name, one_ in found.items() for why in one_["not_placed"]]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
