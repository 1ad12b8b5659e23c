"""Compare controllers in simulation: ``python -m benchmarks.control [WORK ...] [--controllers NAMES]``.

Writes ``benchmarks/results/control.json`` and ``control.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import time

from benchmarks.control.missions import Figures, ambient, battery, two_points
from benchmarks.control.protocol import judge
from benchmarks.control.table import markdown, summarize
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
    names = tuple(dict.fromkeys([*options.controllers.split(","), "oracle-static", "oracle"]))
    policy = load_policy(options.policy)
    wanted = {name: points for name, points in works().items() if name in (options.works or works())}
    protocol: dict[str, dict[str, dict[str, float | None]]] = {}
    mixes: dict[str, Figures] = {}
    batteries: dict[str, Figures] = {}
    heats: dict[str, Figures] = {}
    for name, points in wanted.items():
        protocol[name] = summarize(judge(points, policy, names, lambda: None))
        print(f"{name}: settings, {time.perf_counter() - started:.0f} s", flush=True)
        mixes[name] = two_points(points, policy, names)
        batteries[name] = battery(points, policy, names, lambda: None)
        print(f"{name}: battery, {time.perf_counter() - started:.0f} s", flush=True)
        heats[name] = ambient(points, policy, names, lambda: None)
        print(f"{name}: heat, {time.perf_counter() - started:.0f} s", flush=True)
    text = markdown(protocol, mixes, batteries, heats, time.perf_counter() - started)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.md").write_text(text, encoding="utf-8")
    document = json.dumps(
        plain(
            {"benchmark": "control", "policy": policy.name, "settings": protocol, "two_points": mixes}
            | {"battery": batteries, "heat": heats}
        ),
        indent=2,
    )
    (RESULTS / f"{options.name}.json").write_text(document + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
