"""Run every measurement, or those named: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("engine_overhead", "switching", "telemetry_sweep", "decision", "imports")


def main() -> int:
    """Run each measurement in a process of its own, so that none inherits another's memory or affinity."""
    wanted = sys.argv[1:] or NAMES
    for name in wanted:
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
