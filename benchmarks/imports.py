"""How long it takes to come up: ``import edgehybrid`` beside ``import onnxruntime``, and ``edgehybrid --help``.

Targets: at most 1.3 times ``import onnxruntime``; help within 0.3 s.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from benchmarks.machine import median_with_interval, ratio_of_medians, write_result

ROUNDS = 11

COMMANDS = {
    "onnxruntime": ("-c", "import onnxruntime"),
    "edgehybrid": ("-c", "import edgehybrid"),
    "engine": ("-c", "from edgehybrid import Engine"),
    "help": ("-c", "import sys; sys.argv = ['edgehybrid', '--help']; from edgehybrid.cli import main; main()"),
}


def _seconds(command: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=False, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Start each in a fresh process, in turn."""
    rounds = [{name: _seconds(command) for name, command in COMMANDS.items()} for _ in range(ROUNDS + 1)][1:]
    times = {name: np.asarray([round_[name] for round_ in rounds]) for name in COMMANDS}
    write_result(
        "imports",
        {
            **{f"{name}_s": median_with_interval(values) for name, values in times.items()},
            "edgehybrid_to_onnxruntime": ratio_of_medians(times["edgehybrid"], times["onnxruntime"]),
            "engine_to_onnxruntime": ratio_of_medians(times["engine"], times["onnxruntime"]),
        },
    )


if __name__ == "__main__":
    main()
