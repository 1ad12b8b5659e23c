"""How the verbs show things to a person, and to a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NO_LIMIT = 10_000  # columns; to learn what a table would like
_INDENT = 2
_ROOMY = 100
_STRETCH = 1.1  # from so many columns on, a table too wide by no more than this breaks a few numbers instead

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
"""The option that every verb has."""

root_option = click.option(
    "--root",
    default="/",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the device's files lie.",
)
"""The option of the verbs that look at a device."""


def emit_json(document: object) -> None:
    """Print ``document`` as JSON on stdout; NaN becomes null."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def out() -> Console:
    """Return the console for tables: stdout, at least 100 columns when nobody sits there."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=max(console.width, 130))


class Grid:
    """A table where it fits; in a terminal too narrow for its words, a few lines for each row that name the columns."""

    def __init__(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> None:
        self._title, self._columns, self._rows = title, tuple(columns), [tuple(row) for row in rows]
        self._left = left

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.update(width=_NO_LIMIT)
        whole, broken = self._table(unbroken=True), self._table(unbroken=False)
        wanted = Measurement.get(console, free, whole).minimum
        if wanted <= options.max_width:
            yield whole
            return
        least = Measurement.get(console, free, broken).minimum
        if max(least, _ROOMY) <= options.max_width and wanted <= _STRETCH * options.max_width:
            yield broken
            return
        yield Text(self._title, style="bold")
        for row in self._rows:
            yield Text(row[0], style="bold")
            for line in packed(self._columns[1:], row[1:], width=options.max_width - _INDENT):
                yield Padding(Text(line), (0, 0, 0, _INDENT))

    def _table(self, *, unbroken: bool) -> Table:
        made = Table(title=self._title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for i, name in enumerate(self._columns):
            number = i >= self._left
            whole = i == 0 or (unbroken and number)  # its cells, not its name
            least = max((cell_len(row[i]) for row in self._rows), default=0) if whole else None
            justify: JustifyMethod = "right" if number else "left"
            made.add_column(name, justify=justify, overflow="fold", min_width=least)
        for row in self._rows:
            made.add_row(*row)
        return made


def packed(names: Sequence[str], values: Sequence[str], *, width: int) -> list[str]:
    """Lay ``name value`` pairs side by side, as many to a line as ``width`` holds; what is empty is left out."""
    lines = [""]
    for pair in (f"{name} {value}" for name, value in zip(names, values, strict=True) if value):
        joined = f"{lines[-1]} · {pair}" if lines[-1] else pair
        if lines[-1] and len(joined) > width:
            lines.append(pair)
        else:
            lines[-1] = joined
    return [line for line in lines if line]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Grid:
    """Make a table whose first ``left`` columns are words and the rest are numbers, right aligned."""
    return Grid(title, columns, rows, left=left)


def prose_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Grid:
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
