"""Marks the begin and the end of inferences of every point for the counter of instructions.

python count.py BUNDLE RUNS
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.bench.measuring import golden_feeds, load_all

MARK = 0x5ED0000


def mark(number: int) -> None:
    """Let the counter write down where it is."""
    with suppress(ProcessLookupError):
        os.getsid(MARK + number)


def main() -> None:
    """Run every point ``RUNS`` times between marks ``2 i`` and ``2 i + 1``, after two runs that do not count."""
    bundle, runs = Bundle.open(sys.argv[1]), int(sys.argv[2])
    plans, failed = load_all(bundle, {"onnx": make_backend("onnx")})
    if failed:
        raise SystemExit(f"do not load: {failed}")
    feeds = golden_feeds(bundle, plans[0])
    for index, plan in enumerate(plans):
        for run in range(runs + 2):
            if run >= 2:
                mark(2 * index)
            plan.run(feeds)
            if run >= 2:
                mark(2 * index + 1)


if __name__ == "__main__":
    main()
