"""How the verbs show things to a person, and to a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
"""The option that every verb has."""


def emit_json(document: object) -> None:
    """Print ``document`` as JSON on stdout; NaN becomes null."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def out() -> Console:
    """Return the console for tables: stdout, at least 100 columns when nobody sits there."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=max(console.width, 130))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """Make a table whose first ``left`` columns are words and the rest are numbers, right aligned."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        made.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def prose_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table of words only."""
    return table(title, columns, rows, left=len(columns))


def size(count: float) -> str:
    """Say a number of bytes: ``1.71 MB`` (powers of ten)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def amount(count: float) -> str:
    """Say a count: ``12.3 M``."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f}"


def share(value: float | None) -> str:
    """Say a share of one in percent."""
    return "-" if value is None else f"{100 * value:.1f} %"


def maybe(value: float | None, form: Callable[[float], str]) -> str:
    """Say a value, or that it is not known."""
    return "-" if value is None else form(value)
