"""What one exit decision costs in Python: a chain beside its own stages run by hand."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.depth.works import open_plan
from benchmarks.machine import interleave, median_with_interval, pin_to_one_core
from edgehybrid.runtime.execution.frames import bind_frame
from edgehybrid.testing import make_staged_bundle, staged_input


def exit_decision() -> dict[str, Any]:
    """Microseconds of the engine's chain over its three bound stages, with all that belongs to a run, and per exit."""
    pin_to_one_core()
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_staged_bundle(Path(folder) / "staged.bundle")
        plan = open_plan(bundle, bundle.point("max"), 0.0)
        feeds = staged_input(sure=(0.0, 0.0))
        frame = bind_frame(plan.stages, plan.inputs, plan.outputs, [feeds["x"].shape])  # type: ignore[arg-type]  # one
        assert frame is not None
        steps = [run for _, run, _ in frame.early]

        def by_hand() -> None:
            for step in steps:
                step()
            frame.last()

        plan.run(feeds)
        times = interleave({"chain": partial(plan.run, feeds), "by hand": by_hand}, rounds=300, runs=50)
    over_us = (times["chain"] - times["by hand"]) * 1e6
    return {
        "chain_us": float(np.median(times["chain"]) * 1e6),
        "over_bare_stages_us": median_with_interval(over_us),
        "exits": len(steps),
        "per_exit_us": median_with_interval(over_us / len(steps)),
    }
