"""What the three apps share: options, opening the engine, and the border at which errors become messages."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import edgehybrid as eh
from edgehybrid.errors import EdgeHybridError
from samples.common.answers import Answers, set_up_journal
from samples.common.inbox import Inbox
from samples.common.service import Service
from samples.common.source import Feed

T = TypeVar("T")


def make_parser(what: str, *, replay: str) -> argparse.ArgumentParser:
    """Make a parser with the options of every app.

    Args:
        what: The app in one sentence.
        replay: What ``--replay`` takes.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle that edgehybrid export wrote")
    parser.add_argument("--replay", type=Path, metavar="PATH", help=f"{replay}, instead of the device")
    parser.add_argument("--policy", default="balanced", help="name or file (default: balanced)")
    parser.add_argument("--until", help='the battery must last until then, as "18:00"')
    parser.add_argument("--pin", metavar="POINT", help="run this point, whatever the device says")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="append answers as JSON lines")
    parser.add_argument("--root", default="/", help="where /proc and /sys lie (default: /)")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def open_engine(args: argparse.Namespace, *, deadline_ms: float | None = None, background: bool = True) -> eh.Engine:
    """Open the engine as the options say; the caller closes it."""
    engine = eh.Engine(
        args.bundle,
        policy=args.policy,
        until=args.until,
        deadline_ms=deadline_ms,
        root=args.root,
        background=background,
        memory=learnt_file(os.environ),
    )
    if args.pin is not None:
        engine.pin(args.pin)
        engine.step(wait=True)
    return engine


def learnt_file(environ: Mapping[str, str]) -> Path | None:
    """Return where the engine keeps what it learns of board and battery: in the folder that ``StateDirectory=`` makes.

    ``None`` by hand, where nobody gave a folder: then every start learns anew.
    """
    folder = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder) / "controller.json" if folder else None


def summary(answers: Answers, inbox: Inbox[T], feed: Feed[T], engine: eh.Engine) -> str:
    """Say in one line what happened: for the journal, and for ``systemctl status``."""
    status = engine.status()
    shares = ", ".join(f"{name} {count}" for name, count in status.points.items() if count) or "none"
    parts = [
        f"{answers.given} answers",
        f"{inbox.dropped} inputs dropped",
        f"source opened again {feed.reopened} times",
        f"{status.switches} switches",
        f"inferences: {shares}",
        f"{status.joules.value:.3g} ± {status.joules.uncertainty:.2g} J (by {status.joules.method})",
    ]
    if answers.lost:
        parts.append(f"{answers.lost} answers not in the file")
    return "; ".join(parts)


def main(run: Callable[[argparse.Namespace, Service], None], parser: argparse.ArgumentParser) -> int:
    """Run an app; 0 done, 1 our error with its fix on standard error."""
    args = parser.parse_args()
    set_up_journal(verbose=args.verbose, under_systemd="JOURNAL_STREAM" in os.environ)
    service = Service()
    service.listen()
    try:
        run(args, service)
    except EdgeHybridError as error:
        print(f"error: {error.what}\n  fix: {error.fix}", file=sys.stderr)
        return 1
    finally:
        service.stopping()
    return 0
