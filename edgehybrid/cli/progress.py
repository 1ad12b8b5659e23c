"""A bar with the time left, on stderr, for what takes longer than a second and only where a person looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bar() -> Progress:
    """Make a bar that vanishes when it is done; silent where stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def counting(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done."""
    with progress_bar() as bar:
        task = bar.add_task(text, total=total)
        yield lambda steps: bar.advance(task, steps)
