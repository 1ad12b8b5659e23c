"""A bar with the time left, on stderr, for what takes longer than a second and only where a person looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


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


class Bar:
    """Draws an export's progress: one bar a task; notes above it. Where nobody looks, a line as each task starts."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, total: int, text: str) -> None:
        """Begin a task of ``total`` steps."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=total)
        if not self._bar.console.is_terminal:
            click.echo(f"{text} ...", err=True)

    def advance(self, steps: int = 1) -> None:
        """Move on."""
        if self._task is not None:
            self._bar.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        console = self._bar.console
        console.print(text, highlight=False, soft_wrap=not console.is_terminal)  # one line in a log


@contextmanager
def counting(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done."""
    with progress_bar() as bar:
        task = bar.add_task(text, total=total)
        yield lambda steps: bar.advance(task, steps)
