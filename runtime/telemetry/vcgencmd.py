"""Asks the Raspberry Pi firmware through ``vcgencmd``, without ever waiting for it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import Text, read

INTERVAL_S = 2.0  # between two starts, of whatever question: a process costs a Raspberry Pi some 3 ms of a core
_STUCK_S = 5.0
_REST_S = 60.0  # after one that hung or failed
_FOLDER = "vcgencmd"  # in a tree, ``vcgencmd/pmic_read_adc`` stands for the output of ``vcgencmd pmic_read_adc``


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the tool said, and how long ago; ``age_s`` is ``None`` before the first answer."""

    said: Text
    age_s: float | None = 0.0


@dataclass(slots=True, kw_only=True)
class Vcgencmd:
    """A process is started at one sweep and its answer fetched at a later one; never two at once.

    Args:
        root: Only below ``/`` the program is run; in any other tree a file stands for its output.
        tool: The program, if it is not to be looked for.
        clock: Seconds, monotonic.
    """

    root: str
    tool: str | None = None
    clock: Callable[[], float] = time.monotonic
    starts: int = 0
    _board: str = ""
    _running: tuple[str, subprocess.Popen[bytes], float] | None = None
    _answers: dict[str, tuple[Text, float]] = field(default_factory=dict)
    _asked_s: dict[str, float] = field(default_factory=dict)
    _next_s: float = 0.0

    def discover(self) -> None:
        """Look for the program and the model of the board."""
        self._board = (read(f"{self.root}proc/device-tree/model").text or "").rstrip("\0")
        if self.tool is None and self.root == "/" and self._board.startswith("Raspberry Pi"):
            self.tool = shutil.which("vcgencmd")

    @property
    def measures_power(self) -> bool:
        """Whether the board has the power controller of a Raspberry Pi 5."""
        return any(word in self._board for word in ("Raspberry Pi 5", "Compute Module 5"))

    def ask(self, question: str) -> Answer:
        """Give the last answer; start the question anew when it is its turn."""
        file = read(f"{self.root}{_FOLDER}/{question}")
        if file.text is not None or self.tool is None:
            return Answer(said=file if file.text is not None else Text(None, "no vcgencmd"))
        now = self.clock()
        self._asked_s.setdefault(question, float("-inf"))
        self._fetch(now)
        if self._running is None and now >= self._next_s and self._turn(question):
            self._start(question, now)
        said, at_s = self._answers.get(question, (Text(None, "asked, and not answered yet"), None))
        return Answer(said=said, age_s=None if at_s is None else now - at_s)

    def close(self) -> None:
        """End the process that still runs."""
        if self._running is not None:
            self._end(self._running[1])
            self._running = None

    def _turn(self, question: str) -> bool:
        """The question that waits longest goes first; a new one before all."""
        return self._asked_s[question] <= min(self._asked_s.values())

    def _start(self, question: str, now: float) -> None:
        if self.tool is None:
            return
        self._asked_s[question], self._next_s = now, now + INTERVAL_S
        try:
            process = subprocess.Popen(
                [self.tool, question], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            self._fail(question, error.strerror or str(error), now)
            return
        self.starts += 1
        self._running = (question, process, now)

    def _fetch(self, now: float) -> None:
        if self._running is None:
            return
        question, process, since_s = self._running
        if process.poll() is None:
            if now - since_s > _STUCK_S:
                self.close()
                self._fail(question, f"vcgencmd did not answer within {_STUCK_S:g} s", now)
            return
        self._running = None
        said = process.stdout.read(65536).decode("utf-8", "replace").strip() if process.stdout else ""
        self._end(process)
        if process.returncode or not said:
            first = said.partition("\n")[0][:80]
            self._fail(question, f"{first or 'vcgencmd failed'}; the user must be in the group video", now)
        else:
            self._answers[question] = (Text(said), now)

    def _fail(self, question: str, why: str, now: float) -> None:
        self._answers[question] = (Text(None, why), now)
        self._next_s = now + _REST_S

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
            process.wait(_STUCK_S)
        if process.stdout is not None:
            process.stdout.close()
