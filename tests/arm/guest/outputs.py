"""On the board, and on a workstation to compare: the outputs of every point for the first inputs of an npz file.

python outputs.py BUNDLE DATA.npz COUNT OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgehybrid.bundle import Bundle
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Dial, load_plan


def main() -> None:
    """Write one array per point, at full depth: ``(COUNT, outputs)``."""
    bundle, count = Bundle.open(sys.argv[1]), int(sys.argv[3])
    with np.load(sys.argv[2]) as data:
        x = data["x"][:count]
    found = {}
    for point in bundle.points:
        plan = load_plan(bundle, point, ExecutionPolicy(), make_backend, dial=Dial(None))
        answers = [next(iter(plan.run({"x": row[None]})[0].values())) for row in x]
        found[point.name] = np.concatenate(answers)
    np.savez(Path(sys.argv[4]), **found)  # type: ignore[arg-type]  # numpy's stub takes the names for its options


if __name__ == "__main__":
    main()
