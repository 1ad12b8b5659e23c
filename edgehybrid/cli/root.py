"""The root command: finds verbs without importing them, and is the border at which errors become messages."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from edgehybrid import __version__
from edgehybrid.errors import EdgeHybridError

VERBS = {
    "export": "Turn a model into a bundle of measured operating points.",
    "inspect": "Say what is in a model, or in a bundle.",
    "verify": "Check a bundle's digests and replay its golden vectors here.",
    "bench": "Measure every point on this device, for engines to choose by.",
    "push": "Bring a bundle to a device over ssh, switched over at once.",
    "run": "Run inputs through the engine; quality, latency, energy, decisions.",
    "simulate": "Simulate the controller, others and an oracle on a board, a battery and a weather.",
    "doctor": "Say which sensors and back ends this device has.",
}
"""Every verb with its line in the help; the module of the same name holds the command ``command``."""

INTERRUPTED = 128 + signal.SIGINT


class Verbs(click.Group):
    """A group that imports a verb only when it is called, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which one meets them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"edgehybrid.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="edgehybrid")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def root(debug: bool) -> None:
    """Export hybrid networks as measured operating points, and run the best one that the device allows."""
    del debug  # read by main, before anything can fail


def main(args: Sequence[str] | None = None, *, command: click.Command = root) -> None:
    """Run the command line, and leave with its exit code: 0 done, 1 our error, 2 wrong use, 130 interrupted."""
    words = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):  # a terminal of another alphabet shows "?" for ×, instead of nothing at all
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_guarded(command, words, debug="--debug" in words))


def _guarded(command: click.Command, words: list[str], *, debug: bool) -> int:
    """Run ``words`` and turn whatever goes wrong into a message on stderr and an exit code."""
    if debug:
        words = ["--debug", *(word for word in words if word != "--debug")]
    try:
        answer = command.main(words, prog_name="edgehybrid", standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted:", "Nothing half-written was left. Run the same command again to go on.")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away; so do we, quietly
        return 0
    except EdgeHybridError as error:
        if debug:
            raise
        _say("error:", error.what, error.fix)
        return 1
    except Exception as error:  # the process border: no traceback for a person who did not ask
        if debug:
            raise
        _explain(error)
        return 1


def _explain(error: Exception) -> None:
    """Say what nobody foresaw; what the system refuses (a full disk, a closed door) in its own words."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _say("error:", f"The system refused: {where}{error.strerror}.", "Is there room, and may you write there?")
        return
    what = f"{type(error).__name__}: {error}"
    _say("error:", f"edgehybrid failed in a way that it did not foresee. {what}", "Run it again with --debug.")


def _say(kind: str, what: str, fix: str = "") -> None:
    click.echo(f"{click.style(kind, fg='red', bold=True)} {what}", err=True)
    if fix:
        click.echo(f"{click.style('  fix:', bold=True)} {fix}", err=True)
