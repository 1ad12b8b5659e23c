"""Tables for terminals of any width."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edgehybrid.cli.printing import Grid, packed, table

ROWS = [
    ("fp32", "float, as given", "96.5 % (93.0-98.3)", "", "1.62 ms", "1.3 ± 0.78 mJ"),
    (
        "balanced",
        "attention, dense: w8-dyn; recurrent: w8",
        "96.5 % (93.0-98.3)",
        "+0.0 pt",
        "1.33 ms",
        "1.07 ± 0.64 mJ",
    ),
]
COLUMNS = ("point", "made of", "accuracy", "drop", "p50", "energy")


def shown(grid: Grid, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, highlight=False, markup=False).print(grid)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 130])
def test_numbers_are_never_torn(width: int) -> None:
    """In a terminal of any usual width, each figure stands in one piece, with its unit, beside or below its name."""
    lines = shown(table("Operating points", COLUMNS, ROWS, left=2), width)

    assert max(map(len, lines)) <= width
    for row in ROWS:
        for cell in row[2:]:
            assert any(cell in line for line in lines), cell


def test_a_narrow_terminal_gets_lines_that_name_the_columns() -> None:
    """Below the width of the table each row is a block: its name, then its figures, each with the column's name."""
    lines = shown(table("Operating points", COLUMNS, ROWS, left=2), 60)

    assert "Operating points" == lines[0]
    assert "fp32" == lines[1]
    assert "  made of float, as given · accuracy 96.5 % (93.0-98.3)" == lines[2]
    assert not any("drop" in line for line in lines[1 : lines.index("balanced")])  # what is empty is left out


@given(st.lists(st.text("ab ", min_size=1, max_size=20), max_size=8), st.integers(1, 60))
def test_pairs_keep_their_order_and_the_width(values: list[str], width: int) -> None:
    """Every pair is there once, in order; only a pair that is too long by itself makes a line too long."""
    names = [f"n{i}" for i in range(len(values))]

    lines = packed(names, values, width=width)

    pairs = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    assert pairs == [pair for line in lines for pair in line.split(" · ")]
    assert all(len(line) <= width or line in pairs for line in lines)
    for one, two in pairwise(lines):
        assert len(f"{one} · {two.split(' · ')[0]}") > width
