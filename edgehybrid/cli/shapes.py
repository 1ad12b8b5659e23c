"""``--shape NAME=1,96,40``."""

from __future__ import annotations

from collections.abc import Iterable

import click

shape_option = click.option(
    "--shape",
    multiple=True,
    metavar="NAME=D,D,...",
    help="Shape of an input, where the model leaves it open; a word keeps an axis free. May be given again.",
)


def parse_shapes(words: Iterable[str]) -> dict[str, tuple[int | str, ...]]:
    """Parse ``x=batch,96,40``.

    Raises:
        click.BadParameter: It has another form.
    """
    shapes: dict[str, tuple[int | str, ...]] = {}
    for word in words:
        name, equals, dims = word.rpartition("=")
        sizes = tuple(int(d) if d.isdigit() else d for d in dims.split(","))
        if not (equals and name) or any(d in ("", 0) for d in sizes):
            raise click.BadParameter(f"{word!r} is not of the form NAME=1,96,40", param_hint="--shape")
        shapes[name] = sizes
    return shapes
