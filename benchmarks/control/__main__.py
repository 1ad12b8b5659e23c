"""Compare controllers in simulation: ``python -m benchmarks.control [WORK ...] [--controllers NAMES]``.

Writes ``benchmarks/results/control.json`` and ``control.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace

from benchmarks.control.foreign import foreign
from benchmarks.control.missions import LASTING, LASTING_RUNS, ambient, battery, two_points
from benchmarks.control.protocol import judge
from benchmarks.control.table import Missions, markdown, summarize
from benchmarks.control.thermal import prediction
from benchmarks.control.works import works
from benchmarks.machine import RESULTS
from edgehybrid.profiles import load_policy
from edgehybrid.runtime.simulation import CONTROLLERS


def plain(part: object) -> object:
    """Turn what is not a number into null, which JSON knows."""
    if isinstance(part, dict):
        return {key: plain(value) for key, value in part.items()}
    return None if isinstance(part, float) and math.isnan(part) else part


def main() -> int:
    """Run every measurement for every work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help="names; all by default")
    parser.add_argument("--controllers", default=",".join(CONTROLLERS), help="names with commas between")
    parser.add_argument("--policy", default="balanced")
    parser.add_argument("--name", default="control", help="of the result files")
    options = parser.parse_args()
    started = time.perf_counter()
    names = tuple(dict.fromkeys([*options.controllers.split(","), "oracle-static", "oracle-blind", "oracle"]))
    policy = replace(load_policy(options.policy), reference=True)  # the others may choose it too
    wanted = {name: points for name, points in works().items() if name in (options.works or works())}
    found = Missions(mixes={}, batteries={}, lasting={}, heats={}, foreign={}, ahead=prediction())
    protocol: dict[str, dict[str, dict[str, float | None]]] = {}
    for name, points in wanted.items():
        protocol[name] = summarize(judge(points, policy, names, lambda: None))
        print(f"{name}: settings, {time.perf_counter() - started:.0f} s", flush=True)
        found.mixes[name] = two_points(points, policy, names)
        found.foreign[name] = foreign(points, policy)
        found.batteries[name] = battery(points, policy, names, lambda: None)
        if name in LASTING:
            found.lasting[name] = battery(points, policy, ("edgehybrid", "oracle"), lambda: None, LASTING_RUNS)
        print(f"{name}: battery, {time.perf_counter() - started:.0f} s", flush=True)
        found.heats[name] = ambient(points, policy, names, lambda: None)
        text = markdown(protocol, found, time.perf_counter() - started)
        save(options.name, text, policy.name, protocol, found)
    print(text)
    return 0


def save(name: str, text: str, policy: str, protocol: object, found: Missions) -> None:
    """Write page and document, after each work."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    document = {
        "benchmark": "control",
        "policy": policy,
        "settings": protocol,
        "two_points": found.mixes,
        "battery": found.batteries,
        "battery_many": found.lasting,
        "heat": found.heats,
        "foreign": found.foreign,
        "prediction": found.ahead,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(plain(document), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
