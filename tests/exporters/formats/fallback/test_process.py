"""The border to the converter, with real processes that fail in every way that one can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.fallback.process import run_converter

LONG_S = 60.0


def said(code: str) -> tuple[str, ...]:
    """A converter: ``folder`` is where it finds its order and leaves its file."""
    return sys.executable, "-c", f"import os, sys, time\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n{code}"


def wait_for(done: object, what: str) -> None:
    """Wait until ``done()``; fail after a minute."""
    end = time.monotonic() + LONG_S
    while not done():  # type: ignore[operator]  # a function
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_its_file_is_taken_and_its_words_are_kept_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A converter may print what it likes, much more than a pipe holds: only its file counts."""
    noisy = said("print('x' * 1_000_000)\nprint('y', file=sys.stderr)\n(folder / 'model.tflite').write_bytes(b'file')")

    assert b"file" == run_converter(tmp_path, "another 1.0", noisy)
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.kill(os.getpid(), 11)", "another 1.0 crashed (SIGSEGV)"),
        ("print('all well')\nsys.exit('cannot lower aten.odd.\\n')", "another 1.0 failed: cannot lower aten.odd"),
        ("os._exit(7)", "another 1.0 failed with code 7"),
        ("pass", "another 1.0 wrote no file"),
        (
            "(folder / 'refusal.json').write_text('{\"what\": \"refuses the model: odd\"}')\nsys.exit(1)",
            "another 1.0 refuses the model: odd",
        ),
        ("(folder / 'refusal.json').write_text('torn')\nprint('last words')\nsys.exit(1)", "failed: last words"),
    ],
)
def test_every_failure_is_one_error_of_ours(tmp_path: Path, code: str, words: str) -> None:
    """A crash, an exception, a bare exit code, silence: what happened is said, and the variants stay in ONNX."""
    with pytest.raises(ModelError) as caught:
        run_converter(tmp_path, "another 1.0", said(code))

    assert words in caught.value.what
    assert "Its variants stay in ONNX." == caught.value.fix


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    """A program that is not there is an error of ours, too."""
    with pytest.raises(ModelError, match="cannot be started"):
        run_converter(tmp_path, "another 1.0", (str(tmp_path / "none"),))


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """After its time it is gone, and so is a process of its own."""
    code = "import subprocess\nc = subprocess.Popen(['sleep', '600'])\n"
    code += "(folder / 'pids').write_text(f'{os.getpid()} {c.pid}')\ntime.sleep(600)"
    with pytest.raises(ModelError, match="was ended after 2 s"):
        run_converter(tmp_path, "another 1.0", said(code), limit_s=2.0)

    for pid in (tmp_path / "pids").read_text().split():
        wait_for(lambda pid=pid: not is_alive(int(pid)), "it still runs")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_export(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C ends it at once; where the export is killed, its standard input is closed, and it ends itself."""
    inner = "from edgehybrid.exporters.formats.fallback.child import main\n"
    inner += "(folder / 'pid').write_text(str(os.getpid()))\nos.mkfifo(folder / 'order.json')\n"
    inner += "sys.exit(main(folder))"  # waits for its order for ever
    outer = "from pathlib import Path\n"
    outer += "from edgehybrid.exporters.formats.fallback.process import run_converter\n"
    outer += f"run_converter(Path({str(tmp_path)!r}), 'another', {said(inner)!r})"
    export = subprocess.Popen([sys.executable, "-c", outer], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it did not start")
        pid = int((tmp_path / "pid").read_text())
        assert is_alive(pid)
        os.kill(export.pid, how)
        wait_for(lambda: not is_alive(pid), "it still runs")
    finally:
        export.kill()
        export.communicate()
