"""In the emulated machine: how much memory an engine keeps resident, each bundle in a process of its own.

python memory.py BUNDLE...
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def resident_mib() -> float:
    """Return this process's resident set in MiB, as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def one(path: str) -> None:
    """Open an engine, run it 20 times, say what is resident: all of the process, Python and numpy included."""
    import edgehybrid as eh

    with eh.Engine(path) as engine:
        shape = [n if isinstance(n, int) else 1 for n in engine.bundle.doc.model.inputs[0].shape]
        for _ in range(20):
            engine(np.zeros(shape, np.float32))
        engine.step()
        sys.stdout.write(f"resident {Path(path).stem} {resident_mib():.1f}\n")


def main() -> None:
    """Measure each bundle in a fresh process."""
    if len(sys.argv) == 2:
        one(sys.argv[1])
        return
    for path in sys.argv[1:]:
        subprocess.run([sys.executable, __file__, path], check=True, env=dict(os.environ))


if __name__ == "__main__":
    main()
