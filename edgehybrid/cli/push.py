"""``edgehybrid push``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgehybrid.bundle import Bundle
from edgehybrid.cli.documents import PushDocument
from edgehybrid.cli.printing import emit_json, json_option, out, size
from edgehybrid.exporters.delivery import Host, Pushed, connect, go_back, push


@click.command(name="push")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("host")
@click.option("--to", "place", help="Path there.  [default: bundles/ and the bundle's own name]")
@click.option("--port", type=int, help="Port of its sshd.")
@click.option(
    "-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of ssh; may be given again."
)
@click.option("--bench", is_flag=True, help="Measure every point there afterwards.")
@click.option("--remote", default="edgehybrid", show_default=True, help="How to call edgehybrid there, for --bench.")
@click.option("--back", is_flag=True, help="Send nothing: put the version before in place again.")
@json_option
def command(
    bundle: Path,
    host: str,
    place: str | None,
    port: int | None,
    options: tuple[str, ...],
    bench: bool,
    remote: str,
    back: bool,
    as_json: bool,
) -> None:
    """Bring BUNDLE to HOST (user@host) over your own ssh, by rsync or sftp.

    Only files that no earlier version there has travel; a copy that breaks off goes on where it was. The new version
    takes its place in one step when all of it has arrived and is whole, and the one before is kept (--back).
    """
    where = place or f"bundles/{bundle.resolve().name}"
    more = options if port is None else (*options, f"Port={port}")
    with connect(host, more) as there:
        if back:
            version = go_back(there, where)
            click.echo(f"{host}:{where} is version {version} again.", err=True)
            return
        done = push(Bundle.open(bundle), there, where)
        measured = _bench(there, remote, done.place) if bench else None
    if as_json:
        emit_json(PushDocument(schema=1, host=host, pushed=done, bench=measured))
        return
    _show(host, done)
    if measured is not None:
        out().print(measured, highlight=False, soft_wrap=True)


def _bench(host: Host, remote: str, place: str) -> str:
    words = " ".join(shlex.quote(word) for word in shlex.split(remote))
    return host.run(f'{words} bench "$1"', place)


def _show(host: str, done: Pushed) -> None:
    how = f" by {done.carrier}" if done.carrier else ""
    kept = f", {size(done.kept_bytes)} were there" if done.kept_bytes else ""
    console = out()
    console.print(f"{host}:{done.place} is version {done.version}", highlight=False)
    console.print(f"{done.sent_files} files sent ({size(done.sent_bytes)}){how}{kept}", highlight=False)
    if done.previous is not None:
        console.print(f"version {done.previous} is kept: edgehybrid push --back", highlight=False)
