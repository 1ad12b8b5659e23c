"""The device at the other end of the user's own ssh: one connection, kept open, for commands and for files."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgehybrid.errors import OutputError, RequestError

STEADY = ("ConnectTimeout=15", "ServerAliveInterval=10", "ServerAliveCountMax=3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where to, and with which options; passwords, keys and jump hosts are ssh's own business.

    Attributes:
        name: ``user@host``, or a name from the user's ``~/.ssh/config``.
        options: As after ``ssh -o``: ``Port=2222``.
    """

    name: str
    options: tuple[str, ...] = ()

    def run(self, script: str, *words: str, stdin: str = "") -> str:
        """Run a shell script there, with ``words`` as ``$1``, ``$2``, ...; returns what it printed.

        Raises:
            OutputError: ssh or the script failed; says what it said.
        """
        command = " ".join(shlex.quote(word) for word in ("sh", "-euc", script, "edgehybrid", *words))
        done = subprocess.run(
            ["ssh", *self.flags(), self.name, command], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OutputError(f"{self.name} refused: {_last_words(done.stderr)}", f"Try it by hand: ssh {self.name}")
        return done.stdout

    def send(self, folder: Path, files: Sequence[str], place: str) -> str:
        """Copy files of ``folder`` into the folder ``place``; what arrived of a file before is not sent again.

        Returns:
            What carried them: ``rsync`` where both ends have it, else ``sftp``.

        Raises:
            OutputError: The copy broke off; the next one goes on from there.
        """
        there = self.run("command -v rsync >/dev/null && echo yes || echo no").strip() == "yes"
        if there and shutil.which("rsync"):
            shell = " ".join(shlex.quote(word) for word in ("ssh", *self.flags()))
            command = ["rsync", "--append-verify", "--relative", "--files-from=-", "-e", shell, f"{folder}/"]
            self._copy([*command, f"{self.name}:{place}/"], "".join(f"{name}\n" for name in files))
            return "rsync"
        batch = "".join(f'reput "{folder / name}" "{place}/{name}"\n' for name in files)
        self._copy(["sftp", "-q", *self.flags(), "-b", "-", self.name], batch)
        return "sftp"

    def flags(self) -> list[str]:
        """Return the options as ssh and sftp both take them."""
        return [flag for option in (*STEADY, *self.options) for flag in ("-o", option)]

    def _copy(self, command: Sequence[str], stdin: str) -> None:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            what = f"The copy to {self.name} broke off: {_last_words(done.stderr)}"
            raise OutputError(what, "Run the same command again: it goes on from there.")


@contextmanager
def connect(name: str, options: Sequence[str] = ()) -> Iterator[Host]:
    """Give a host whose commands share one connection, so that a password is asked for once.

    Raises:
        RequestError: ``name`` cannot be one, or ssh is not installed.
    """
    if not name or name.startswith("-") or any(char.isspace() for char in name):
        raise RequestError(f"{name!r} is no host.", "Give user@host, or a name from ~/.ssh/config.")
    if shutil.which("ssh") is None:
        raise RequestError("ssh is not installed.", "Run: sudo apt install openssh-client")
    with tempfile.TemporaryDirectory(prefix="eh-") as folder:  # short: a socket's path has at most 108 bytes
        shared = ("ControlMaster=auto", f"ControlPath={folder}/%C", "ControlPersist=60")
        host = Host(name=name, options=(*options, *shared))
        try:
            yield host
        finally:
            subprocess.run(["ssh", *host.flags(), "-O", "exit", name], capture_output=True, check=False)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:]) or "no word why."
