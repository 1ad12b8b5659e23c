"""What an export says while it works; the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told in order: a task starts, advances, the next one starts. ``note`` is a line worth reading."""

    def start(self, total: int, text: str) -> None:
        """A task of ``total`` steps starts; zero means that nobody knows how many."""
        ...

    def advance(self, steps: int = 1) -> None:
        """So many steps are done."""
        ...

    def note(self, text: str) -> None:
        """Something was found or decided."""
        ...


class Silent:
    """Says nothing."""

    def start(self, total: int, text: str) -> None:
        """Ignore it."""

    def advance(self, steps: int = 1) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""
