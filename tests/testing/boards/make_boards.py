"""Makes the recorded boards of this folder from sbc-bench traces: python make_boards.py --traces FOLDER.

Temperature, clock and CPU share are the trace's at its own times; the rest of the tree is what the kernel of that
board would show. Their licence (BSD-3-Clause) lies in samples/keyword_spotter/pi4-ups.recording.LICENSE.txt.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from edgehybrid.testing import Recording, device_files
from edgehybrid.testing.recording import Frame, Header, difference

HERE = Path(__file__).parent
BOARDS = {
    "zero2w": ("3E85", "Raspberry Pi Zero 2 Rev 1.0", 1000, device_files.THROTTLE_NODE),
    "pi5": ("Au3jaA", "Raspberry Pi 5 Model B Rev 1.0", 2400, device_files.THROTTLE_NODE_PI5),
    "pi3b": ("4hOp", "Raspberry Pi 3 Model B Rev 1.2", 1200, device_files.THROTTLE_NODE),
}


def build(trace: Path, model: str, max_mhz: float, node: str) -> Recording:
    """Turn one trace into a recording."""
    with trace.open(newline="") as file:
        rows = list(csv.DictReader(file))
    frames: list[Frame] = []
    before: dict[str, str] = {}
    busy_s, idle_s, last_s = 10.0, 100.0, 0.0
    for row in rows:
        t_s, cpu, temp = float(row["t_s"]), float(row["cpu_pct"]), float(row["temp_c"])
        busy_s += 4 * (t_s - last_s) * cpu / 100
        idle_s += 4 * (t_s - last_s) * (1 - cpu / 100)
        last_s = t_s
        tree = {
            **device_files.model_files(model),
            **device_files.core_files(4),
            **device_files.temperature_files(temp),
            **device_files.clock_files(float(row["freq_a_mhz"]), cap_mhz=max_mhz, max_mhz=max_mhz),
            **device_files.stat_files(busy_s=busy_s, idle_s=idle_s),
            **device_files.throttle_files(0x60006 if temp >= 80 else 0, node=node),
        }
        frames.append(Frame(t_s=t_s, files=difference(before, tree)))
        before = tree
    source = f"github.com/ThomasKaiser/sbc-bench results/{trace.stem}.txt; get_throttled computed: set from 80 °C on"
    header = Header(schema=1, board=model, source=source, licence="BSD-3-Clause")
    return Recording(header=header, frames=tuple(frames))


def main() -> None:
    """Write every board."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=Path, required=True)
    folder = parser.parse_args().traces
    for name, (trace, model, max_mhz, node) in BOARDS.items():
        recording = build(folder / f"{trace}.csv", model, max_mhz, node)
        recording.save(HERE / f"{name}.recording.jsonl")
        sys.stdout.write(f"{name}: {recording.duration_s:.0f} s\n")


if __name__ == "__main__":
    main()
