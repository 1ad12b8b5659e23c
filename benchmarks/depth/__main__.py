"""``python -m benchmarks.depth [SAMPLE ...]``: writes ``results/depth.json`` and ``depth.md``; a quarter of an hour."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.depth.drift import camera_streams, drift, keyword_streams
from benchmarks.depth.overhead import exit_decision
from benchmarks.depth.promise import guarantee, scalar
from benchmarks.depth.speed import full_depth, within_a_point
from benchmarks.depth.table import markdown
from benchmarks.depth.works import WORKS, Work, make_bundle
from benchmarks.machine import RESULTS, describe_machine


def main() -> None:
    """Measure every part that is named, or all; what is not named keeps its last figures."""
    wanted = sys.argv[1:] or [*dict.fromkeys(work.name for work in WORKS), "drift", "overhead"]
    path = RESULTS / "depth.json"
    found: dict[str, Any] = {"samples": {}, "drift": {}, "overhead": {}}
    if path.exists():
        found |= json.loads(path.read_text(encoding="utf-8"))
    found["machine"] = describe_machine()
    if "overhead" in wanted:
        found["overhead"] = exit_decision()
    for work in WORKS:
        if work.name in wanted:
            found["samples"][work.label] = measure(work)
    if "drift" in wanted:
        streams = keyword_streams()
        found["drift"]["keyword_spotter"] = {} if streams is None else drift("keyword_spotter", streams)
        found["drift"]["camera_classifier"] = drift("camera_classifier", camera_streams())
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = markdown(found)
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def measure(work: Work) -> dict[str, Any]:
    """Export one sample with exits, on all cores, and measure its points on one."""
    cores = os.sched_getaffinity(0)
    try:
        return _measure(work)
    finally:
        os.sched_setaffinity(0, cores)


def _measure(work: Work) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bundle, why = make_bundle(work, Path(folder))
        clean = work.rows(work.clean)
        classes = bundle.doc.model.outputs[0].shape[-1] != 1
        figures: dict[str, Any] = {
            "rows": len(clean["labels"]),
            "classes": classes,
            "left_out": why,
            "speed": within_a_point(bundle, work, clean),
            "staged": full_depth(bundle, clean),
            "guarantee": [],
            "scalar": [],
        }
        deep = [point for point in bundle.points if point.exits]
        if deep and classes:
            unseen = work.rows(*dict.fromkeys((work.evaluation, work.clean)))
            figures["guarantee"] = guarantee(bundle, deep[0], work.rows("calibration"), unseen)
            figures["scalar"] = scalar(bundle, deep[0], clean)
            figures["scalar_point"] = deep[0].name
        return figures


if __name__ == "__main__":
    main()
