from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest

from edgehybrid.cli import main
from edgehybrid.cli.root import VERBS

Cli = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cli: Cli, verb: str) -> None:
    """Each verb of the help exists, has its own help, and offers ``--json``."""
    answer = cli(verb, "--help")

    assert 0 == answer.returncode
    assert "--json" in answer.stdout


def test_help_is_quick_because_it_loads_nothing() -> None:
    """``--help`` imports neither numpy nor onnxruntime."""
    script = (
        "import sys\nfrom edgehybrid.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'onnxruntime', 'onnx', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == done.stderr.strip()


def test_import_loads_nothing_that_is_not_asked_for() -> None:
    """``import edgehybrid`` leaves onnxruntime alone until an engine is opened."""
    script = "import sys, edgehybrid; print('onnxruntime' in sys.modules, 'numpy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False False" == done.stdout.strip()


def test_nothing_is_reported_home(model: Path, tmp_path: Path) -> None:
    """ONNX Runtime leaves no identifier in the user's home once edgehybrid was imported; who wants that says so."""
    script = "import sys, edgehybrid, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}

    subprocess.run([sys.executable, "-c", script, str(model)], check=True, env={**environ, "HOME": str(tmp_path)})

    assert [] == list(tmp_path.iterdir())
    kept = subprocess.run(
        [sys.executable, "-c", "import os, edgehybrid; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
        capture_output=True,
        check=True,
        env={**environ, "ORT_DISABLE_TELEMETRY": "0"},
    )
    assert b"0" == kept.stdout.strip()


def test_wrong_use_exits_with_two(cli: Cli) -> None:
    """An unknown option is wrong use: exit 2, with the usage line."""
    answer = cli("inspect", "--nonsense")

    assert 2 == answer.returncode
    assert "Usage:" in answer.stderr


def test_our_errors_have_a_fix_and_no_traceback(cli: Cli) -> None:
    """An error of ours: exit 1, what happened and the fix on stderr, nothing on stdout."""
    answer = cli("inspect", "nowhere.onnx")

    assert 1 == answer.returncode
    assert "" == answer.stdout
    assert "error:" in answer.stderr
    assert "fix:" in answer.stderr
    assert "Traceback" not in answer.stderr


@click.command()
@click.option("--debug", is_flag=True)
def broken(debug: bool) -> None:
    """Fail as nobody foresaw."""
    raise ZeroDivisionError(f"division by zero, {debug=}")


def test_an_unforeseen_error_is_a_message_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a verb raises becomes a message that names it."""
    with pytest.raises(SystemExit) as left:
        main([], command=broken)

    assert 1 == left.value.code
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero, debug=False" in err
    assert "Traceback" not in err


def test_what_the_system_refuses_is_said_in_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk or a closed door is no riddle: what the system said, with the file, and no word of --debug."""

    @click.command()
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.json")

    with pytest.raises(SystemExit) as left:
        main([], command=full)

    assert 1 == left.value.code
    err = capsys.readouterr().err
    assert "error: The system refused: out.json: No space left on device." in err
    assert "--debug" not in err


def test_a_terminal_of_another_alphabet_loses_only_signs(levels_bundle: Path) -> None:
    """Where × and ± cannot be written, they become a question mark, and the rest stands."""
    words = [sys.executable, "-m", "edgehybrid", "inspect", str(levels_bundle)]

    done = subprocess.run(words, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})

    assert b"1.00 ?" in done.stdout
    assert b"balanced" in done.stdout


def test_debug_shows_where_it_happened() -> None:
    """With ``--debug`` the error itself comes out."""
    with pytest.raises(ZeroDivisionError):
        main(["--debug"], command=broken)
