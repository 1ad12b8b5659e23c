"""Compare controllers in simulation: ``python -m benchmarks.control [WORK ...] [--controllers NAMES]``.

Writes ``benchmarks/results/control.json`` and ``control.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.control.foreign import foreign
from benchmarks.control.missions import LASTING_RUNS, ambient, battery, second_day, two_points
from benchmarks.control.protocol import judge
from benchmarks.control.table import markdown, summarize
from benchmarks.control.thermal import prediction
from benchmarks.control.works import works
from benchmarks.machine import RESULTS
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import load_policy
from edgehybrid.runtime.simulation import CONTROLLERS

Points = Sequence[OperatingPoint]
LASTING = ("edgehybrid", "oracle-blind", "oracle")
SENSING = ("edgehybrid", "oracle-static", "oracle-blind", "oracle")
BY_CONTROLLER = ("settings", "two_points", "battery", "heat")
PARTS = ("settings", "sensor", "two_points", "battery", "battery_many", "second_day", "heat", "foreign")


def plain(part: object) -> object:
    """Turn what is not a number into null, which JSON knows."""
    if isinstance(part, dict):
        return {key: plain(value) for key, value in part.items()}
    return None if isinstance(part, float) and math.isnan(part) else part


def main() -> int:
    """Run every measurement for every work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help="names; all by default")
    parser.add_argument(
        "--controllers", default=",".join(CONTROLLERS), help="names with commas between; other rows stay"
    )
    parser.add_argument("--policy", default="balanced")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, or prediction alone; the rest stays")
    parser.add_argument("--name", default="control", help="of the result files")
    options = parser.parse_args()
    names = tuple(dict.fromkeys([*options.controllers.split(","), "oracle-static", "oracle-blind", "oracle"]))
    policy = replace(load_policy(options.policy), reference=True)  # the others may choose it too
    measures: dict[str, Callable[[Points], object]] = {
        "settings": lambda points: summarize(judge(points, policy, names, lambda: None)),
        "sensor": lambda points: summarize(judge(points, policy, SENSING, lambda: None, power_sensor=True)),
        "two_points": lambda points: two_points(points, policy, names),
        "battery": lambda points: battery(points, policy, names, lambda: None),
        "battery_many": lambda points: battery(points, policy, LASTING, lambda: None, LASTING_RUNS),
        "second_day": lambda points: second_day(points, policy, LASTING_RUNS),
        "heat": lambda points: ambient(points, policy, names, lambda: None),
        "foreign": lambda points: foreign(points, policy),
    }
    started = time.perf_counter()
    if options.parts == "prediction":
        save(options.name, policy.name)
        return 0
    for name in options.works or works():
        for part in options.parts.split(","):
            figures = measures[part](works()[name])
            save(options.name, policy.name, name, part, figures)
            print(f"{name}: {part}, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def save(file: str, policy: str, work: str = "", part: str = "", figures: object = None) -> None:
    """Put one measurement in its place in the document, and write the page anew; that of the temperature always."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{file}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    document = {"benchmark": "control", "policy": policy, **{name: found.get(name, {}) for name in PARTS}}
    document["prediction"] = prediction()
    if part:
        document[part] = {**document[part], work: _among(document[part].get(work, {}), figures, part)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    page = markdown({name: known(document[name]) for name in (*PARTS, "prediction")})
    path.with_suffix(".md").write_text(page, encoding="utf-8")


def _among(old: Mapping[str, object], figures: object, part: str) -> object:
    """Keep the rows of controllers that were not measured now, in the usual order."""
    fresh = plain(figures)
    assert isinstance(fresh, dict)
    if part not in BY_CONTROLLER:
        return fresh
    rows = {**old, **fresh}
    return {name: rows[name] for name in CONTROLLERS if name in rows}


def known(part: object) -> Any:
    """Turn null back into what is not a number."""
    if isinstance(part, dict):
        return {key: known(value) for key, value in part.items()}
    return math.nan if part is None else part


if __name__ == "__main__":
    raise SystemExit(main())
