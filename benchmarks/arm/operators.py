"""Where the instructions of every variant go, by operator, on an emulated Cortex-A76.

``python -m benchmarks.arm.operators``, after ``make bench-arm`` or ``make test-arm``: it uses what they installed.

A whole machine runs whose clock counts its instructions, one a nanosecond; ONNX Runtime's own profile then says
thousands of instructions where it means microseconds. Each node carries some of what measuring it takes, so that sums
are a few per cent above those of ``results/arm.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.arm.__main__ import PLACE
from benchmarks.machine import RESULTS
from tests.arm.bundles import OPTIONS
from tests.arm.machine import run_machine
from tests.arm.root import CannotHaveError

CPU = "cortex-a76"
SHOWN = 0.02  # share of a variant under which operators are summed up


def main() -> int:
    """Write ``results/arm-operators.md``."""
    bundles = [f"/home/pi/{name}/{name}.bundle" for name in OPTIONS]
    words = ["/home/pi/keyword_spotter/venv/bin/python", "/mnt/operators.py", *bundles]
    script = Path(__file__).parents[2] / "tests" / "arm" / "guest" / "operators.py"
    try:
        said = run_machine(PLACE, words, cpu=CPU, files=[script], counted=True)
    except CannotHaveError as error:
        print(f"no emulated machine here: {error}", file=sys.stderr)
        return 3
    found: dict[tuple[str, str], dict[str, int]] = {}
    for line in said.splitlines():
        if line.startswith("operator "):
            _, sample, variant, operator, thousands = line.split()
            found.setdefault((sample, variant), {})[operator] = int(thousands)
    lines = ["# Instructions by operator on Cortex-A76", "", " ".join((__doc__ or "").split("\n\n")[2].split()), ""]
    lines += ["| model, stage, variant | millions | of it |", "| --- | ---: | --- |"]
    lines += [_row(sample, variant, counts) for (sample, variant), counts in found.items()]
    (RESULTS / "arm-operators.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return 0


def _row(sample: str, variant: str, counts: dict[str, int]) -> str:
    total = sum(counts.values())
    large = {operator: n for operator, n in counts.items() if n >= SHOWN * total}
    words = [f"{operator} {n / 1e3:.2f}" for operator, n in large.items()]
    rest = total - sum(large.values())
    return f"| {sample} {variant} | {total / 1e3:.2f} | {', '.join(words)}, others {rest / 1e3:.2f} |"


if __name__ == "__main__":
    raise SystemExit(main())
