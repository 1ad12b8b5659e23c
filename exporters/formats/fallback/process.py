"""The border to the converter: a process of its own, which may raise, print, hang or crash without harm.

It imports jax, takes seconds to start, and its MLIR passes end the process where they meet what they do not know.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.fallback.order import MODEL, SAID, take_refusal

COMMAND = (sys.executable, "-P", "-m", "edgehybrid.exporters.formats.fallback.child")
LIMIT_S = 600.0
"""A recurrent layer of 250 steps took 88 s."""
_FIX = "Its variants stay in ONNX."
_MOST = 200


def run_converter(folder: Path, writer: str, command: Sequence[str] = COMMAND, limit_s: float = LIMIT_S) -> bytes:
    """Run the converter on the order in ``folder``; nothing of it is left, however this ends.

    Args:
        folder: Holds the order; what the converter prints goes there, too.
        writer: Its name, for messages.
        command: What is run, with ``folder`` as the last argument.
        limit_s: Seconds after which it is ended.

    Returns:
        The file that it wrote.

    Raises:
        ModelError: It refused the model, failed, crashed, took too long, or wrote nothing.
    """
    try:
        with (folder / SAID).open("wb") as said:
            process = subprocess.Popen(
                [*command, str(folder)],
                stdin=subprocess.PIPE,  # closed when this process ends, however: the child then ends itself
                stdout=said,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
        try:
            code = process.wait(limit_s)
        finally:
            _end(process)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{writer} was ended after {limit_s:g} s.", _FIX) from error
    except OSError as error:
        raise ModelError(f"{writer} cannot be started: {error}.", _FIX) from error
    if code != 0:
        raise ModelError(f"{writer} {take_refusal(folder) or _death(code, folder / SAID)}.", _FIX)
    try:
        return (folder / MODEL).read_bytes()
    except OSError as error:
        raise ModelError(f"{writer} wrote no file.", _FIX) from error


def _environment() -> dict[str, str]:
    """Ours, with the folders that this process imports from: the user's module may lie beside the script that runs."""
    folders = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
    return {"JAX_PLATFORMS": "cpu", **os.environ, "PYTHONPATH": folders}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and what it started, unless it ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _death(code: int, said: Path) -> str:
    """How a process died that said nothing in our words."""
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"failed: {last[:_MOST].rstrip('.')}" if last else f"failed with code {code}"
