"""The Arm tests that fit into CI: the keyword spotter on a Pi 5, in some minutes, or a line that says why not.

``python -m tests.arm.few``

Fails only where the code is wrong. What must be had first (packages, wheels, an emulator that starts) is fetched and
tried before any test runs; where that does not succeed, or everything takes longer than ``LIMIT_S``, it prints one
line that begins with ``Arm tests left out`` and succeeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.arm.board import MODELS, make_board
from tests.arm.emulated import Emulated
from tests.arm.root import CannotHaveError, require_tools

ROOT = Path(__file__).parents[2]
APP, BOARD = "keyword_spotter", "pi5"
LIMIT_S, FETCH_S = 330.0, 150.0
TESTS = (
    "test_the_install_brings_no_compiler_and_nothing_for_workstations",
    "test_outputs_are_those_of_x86",
    "test_integers_are_those_of_x86",
    "test_the_keyword_spotter_hears_as_on_x86",
)
PLATFORMS = ("2014", "_2_17", "_2_27", "_2_28", "_2_31", "_2_34")


def main() -> int:
    """Run them; 0 when they pass or cannot be run here."""
    begin_s = time.monotonic()
    place = Path(os.environ.get("EDGEHYBRID_ARM", ROOT / "out" / "arm")).absolute()
    try:
        fetch(place, begin_s + FETCH_S)
        start(place, begin_s + FETCH_S)
    except CannotHaveError as error:
        return _left_out(str(error))
    environ = {**os.environ, "ARM_APPS": APP, "ARM_BOARDS": BOARD, "ARM_WHEELS": "1", "EDGEHYBRID_ARM": str(place)}
    words = [sys.executable, "-m", "pytest", "-q", "-m", "arm", "-k", " or ".join(TESTS), "tests/arm"]
    _say(f"Arm tests: {APP} on an emulated {MODELS[BOARD].title}")
    try:
        return run(words, begin_s + LIMIT_S, environ)
    except subprocess.TimeoutExpired:
        return _left_out(f"not through after {LIMIT_S:.0f} s")


def fetch(place: Path, end_s: float) -> None:
    """Fetch the emulator, the root, and the wheels of everything that the app's install asks for.

    Raises:
        CannotHaveError: Something cannot be had, or not by ``end_s``.
    """
    require_tools()
    fetched([sys.executable, "-m", "tests.arm.root", str(place)], end_s)
    tags = [word for name in PLATFORMS for word in ("--platform", f"manylinux{name}_aarch64")]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    wanted = ["-c", "constraints.txt", "-r", f"samples/{APP}/requirements.txt", *_dependencies()]
    fetched([*pip, "--python-version", "3.11", *tags, "-d", str(place / "kits" / "wheels"), *wanted], end_s)


def start(place: Path, end_s: float) -> None:
    """Start Python on the board and let it go: what fails here is the emulation.

    Raises:
        CannotHaveError: It does not run.
    """
    board = make_board(place / "boards" / BOARD, MODELS[BOARD]).root
    process = Emulated(place).start(["python3", "-c", "print(6 * 7)"], cpu=MODELS[BOARD].cpu, board=board, kit=place)
    try:
        said, errors = process.communicate(timeout=max(end_s - time.monotonic(), 1.0))
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise CannotHaveError("the emulator does not answer") from error
    if said.strip() != "42":
        raise CannotHaveError(f"the emulator does not run: {' '.join(errors.split())[-200:]}")


def _dependencies() -> list[str]:
    """Return what edgehybrid's wheel asks pip for."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: list[str] = tomllib.load(file)["project"]["dependencies"]
    return found


def fetched(words: Sequence[str], end_s: float) -> None:
    """Run a command that fetches something."""
    limit_s = max(end_s - time.monotonic(), 1.0)
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit_s, cwd=ROOT)
    except subprocess.TimeoutExpired as error:
        raise CannotHaveError(f"{words[2]} was not through after {FETCH_S:.0f} s") from error
    if done.returncode:
        raise CannotHaveError(" ".join((done.stdout + done.stderr).split())[-300:])


def run(words: Sequence[str], end_s: float, environ: Mapping[str, str]) -> int:
    """Run the tests in a session of their own, so that nothing of them stays behind; returns their status."""
    process = subprocess.Popen(words, cwd=ROOT, env=environ, start_new_session=True)
    try:
        return process.wait(timeout=max(end_s - time.monotonic(), 1.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        raise


def _left_out(why: str) -> int:
    _say(f"Arm tests left out: {' '.join(why.split())}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
