"""CI goes on where the Arm tests cannot be had, and fails where the code is wrong. This is part of ``make test``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.arm import few
from tests.arm.root import CannotHaveError

ROOT = Path(__file__).parents[2]


def test_without_its_tools_it_says_so_in_one_line_and_succeeds(tmp_path: Path) -> None:
    """On a machine without apt."""
    environ = {**os.environ, "PATH": str(tmp_path), "EDGEHYBRID_ARM": str(tmp_path / "arm")}
    words = [sys.executable, "-m", "tests.arm.few"]
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "Arm tests left out: apt-get is not installed\n"


def test_what_takes_too_long_to_fetch_cannot_be_had() -> None:
    """A mirror that hangs is no error of the code."""
    with pytest.raises(CannotHaveError, match="not through"):
        few.fetched([sys.executable, "-c", "import time; time.sleep(60)"], time.monotonic())


def test_what_cannot_be_fetched_says_why() -> None:
    """The words of pip or apt come through."""
    with pytest.raises(CannotHaveError, match="no such mirror"):
        few.fetched([sys.executable, "-c", "raise SystemExit('no such mirror')"], time.monotonic() + 60)


def test_a_test_that_fails_fails_ci() -> None:
    """The status of the tests is CI's; one that hangs is ended."""
    assert few.run([sys.executable, "-c", "raise SystemExit(1)"], time.monotonic() + 60, os.environ) == 1
    with pytest.raises(subprocess.TimeoutExpired):
        few.run([sys.executable, "-c", "import time; time.sleep(60)"], time.monotonic(), os.environ)
