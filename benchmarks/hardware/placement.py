"""Placement: ``python -m benchmarks.hardware.placement [WORK ...]``.

Each sample is exported with ``--backends onnx,tflite,onnx-openvino`` and a largest loss of one hundredth. All
candidates are timed in turn, one thread: the best chain over several back ends beside the best candidate on each alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.export.works import Work
from benchmarks.hardware.exported import best, cell, run
from edgehybrid.exporters import ExportOptions, export

SAMPLES = ("keyword_spotter", "camera_classifier", "vibration_monitor")
BACKENDS = ("onnx", "tflite", "onnx-openvino")
SECTION = "placement"


def main() -> int:
    """Measure the named samples."""
    return run(__doc__, SECTION, SAMPLES, place_one, markdown, effort="standard", budget_s=10.0)


def place_one(work: Work, out: Path, effort: Any, budget_s: float) -> dict[str, Any]:
    """Export one sample, and tell what each way of placing it reached."""
    options = ExportOptions(
        effort=effort,
        budget_s=budget_s,
        metric=work.metric,
        max_drop=0.01,
        shape=work.shape,
        gate=False,
        backends=BACKENDS,
    )
    result = export(work.model, out, data=work.calibration, eval_data=work.evaluation, options=options)
    ways = {
        "onnx": best(result, lambda name: not name.startswith(("tflite-", "mixed-")) and "@" not in name),
        "tflite": best(result, lambda name: name.startswith("tflite-") and "@" not in name),
        "onnx-openvino": best(result, lambda name: name.endswith("@onnx-openvino")),
        "mixed": best(result, lambda name: name.startswith("mixed-")),
    }
    recipes = {plan.name: plan.describe() for plan in result.plans}
    if (mixed := ways["mixed"]) is not None:
        mixed["made_of"] = recipes[mixed["candidate"]]
    return {
        "ways": ways,
        "points": {p.name: "+".join(dict.fromkeys(p.placement.values())) for p in result.points},
        "not_mixed": [item.reason for item in result.dropped if item.name == "mixed"],
        "refused": sum("falls apart" in item.reason for item in result.dropped),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Placement",
        "",
        "`python -m benchmarks.hardware.placement`: times the speed of the float model as given, one thread, in turn; "
        "candidates that lose at most one point.",
        "",
        "| sample | ONNX Runtime | LiteRT | OpenVINO | best chain over several | points of the bundle |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        cells = [cell(one["ways"][key]) for key in ("onnx", "tflite", "onnx-openvino", "mixed")]
        points = ", ".join(f"{point} {place}" for point, place in one["points"].items())
        lines.append(f"| {name} | {' | '.join(cells)} | {points} |")
    lines.append("")
    for name, one in found.items():
        mixed = one["ways"]["mixed"]
        if mixed is not None:
            lines.append(f"- {name}: the chain is {mixed['made_of']}.")
        lines += [f"- {name}: not mixed: {why}." for why in one["not_mixed"]]
        lines.append(f"- {name}: {one['refused']} files refused on OpenVINO because they fall apart.")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
