"""Every point of every sample on Cortex-A72 and A76, what an install takes, and memory.

``python -m benchmarks.arm [--keep] [SAMPLE ...]``

``--keep`` measures what ``make test-arm`` installed, instead of installing anew. With samples named, they are counted
anew, and what ``results/arm.json`` says of the others, and of memory, stays.

An instruction is not a cycle: there are no caches, no memory bandwidth and no clock in these figures. They rank points
and show regressions; milliseconds and watts come from a board (``edgehybrid bench``).
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.arm.table import Counts, read_counts, read_resident, write
from edgehybrid.bundle import Bundle
from tests.arm.board import MODELS, make_board
from tests.arm.bundles import OPTIONS, kits
from tests.arm.emulated import Emulated, install
from tests.arm.machine import run_machine
from tests.arm.root import CannotHaveError

PLACE = Path(os.environ.get("EDGEHYBRID_ARM", "out/arm")).absolute()
BOARDS = ("pi4", "pi5")
RUNS = {"keyword_spotter": (4, 2), "camera_classifier": (3, 1), "vibration_monitor": (10, 4)}
"""Warm inferences of each point, and loads: where tensors lie in memory makes up to 0.1 % of a short inference."""


def count(emulated: Emulated, name: str, board: Path, cpu: str, python: Path) -> Counts:
    """Return the instructions of one inference of each point: the least of some warm ones, in two processes."""
    bundle = PLACE / "bundles" / f"{name}.bundle"
    least: list[list[int]] = []
    for _ in range(2):
        marks = emulated.count(
            PLACE / "kits" / "count.py", str(bundle), *map(str, RUNS[name]), cpu=cpu, board=board, python=python
        )
        found: dict[int, list[int]] = {}
        for (begin, start), (_, end) in zip(marks[::2], marks[1::2], strict=True):
            found.setdefault(begin // 2, []).append(end - start)
        least.append([min(found[index]) for index in sorted(found)])
    points = [point.name for point in Bundle.open(bundle).points]
    apart = max(abs(a - b) / a for a, b in zip(*least, strict=True))
    return Counts(sample=name, cpu=cpu, instructions=dict(zip(points, least[0], strict=True)), apart=apart)


def resident() -> dict[str, float] | None:
    """Return MiB resident of an engine of each sample in a whole emulated machine; ``None`` if there is none here."""
    bundles = [f"/home/pi/{name}/{name}.bundle" for name in OPTIONS]
    try:
        said = run_machine(
            PLACE,
            ["/home/pi/keyword_spotter/venv/bin/python", "/mnt/memory.py", *bundles],
            cpu="cortex-a72",
            files=[PLACE / "kits" / "memory.py"],
        )
    except CannotHaveError as error:
        print(f"no emulated machine here: {error}", file=sys.stderr)
        return None
    lines = [line.split() for line in said.splitlines() if line.startswith("resident ")]
    return {name: float(mib) for _, name, mib in lines}


def main() -> int:
    """Count, and write ``results/arm.json`` and ``results/arm.md``."""
    wanted = [name for name in sys.argv[1:] if name in OPTIONS] or list(OPTIONS)
    try:
        emulated = Emulated(PLACE)
        kit = kits(PLACE)
        boards = {name: make_board(PLACE / "boards" / name, MODELS[name]).root for name in BOARDS}
        home = emulated.root / "home/pi"
        if "--keep" not in sys.argv[1:]:
            install(emulated, boards["pi4"], kit, MODELS["pi4"].cpu)
        places = {name: next((home / name / "venv/lib").glob("python3*/site-packages")) for name in wanted}
        python = next((home / "keyword_spotter/venv/lib").glob("python3*/site-packages"))
        emulated.make_counter()  # before the threads, which would both make it
        with ThreadPoolExecutor(len(BOARDS)) as pool:  # a thread for each processor: they share no files
            parts = pool.map(
                lambda board: [
                    count(emulated, sample, boards[board], MODELS[board].cpu, places[sample]) for sample in wanted
                ],
                BOARDS,
            )
            found = [counts for part in parts for counts in part]
    except CannotHaveError as error:
        print(f"no emulated board here: {error}", file=sys.stderr)
        return 3
    before = [] if len(wanted) == len(OPTIONS) else [item for item in read_counts() if item.sample not in wanted]
    write([*found, *before], python, resident() if len(wanted) == len(OPTIONS) else read_resident())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
