"""Marks the begin and the end of inferences of every point for the counter of instructions.

python count.py BUNDLE RUNS LOADS

A short inference takes up to a tenth of a per cent more or less by where in memory its tensors happen to lie. So points
are loaded several times, each time elsewhere.
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
    bundle, runs, loads = Bundle.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    keys = {variant.backend for stage in bundle.stages for variant in stage.variants}
    between: list[bytearray] = []
    for load in range(loads):
        plans, failed = load_all(bundle, {key: make_backend(key) for key in keys})
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
        between += [bytearray(520 + 16 * n) for n in range(16 * load, 16 * load + 16)]


if __name__ == "__main__":
    main()
