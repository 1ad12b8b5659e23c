"""Between the thread that senses and the one that thinks: what happens to inputs that come faster than answers."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

from edgehybrid.errors import RequestError

T = TypeVar("T")

Drops = Literal["newest", "queue", "wait"]
"""``newest``: only the newest input waits, older ones are dropped; ``queue``: up to ``size`` wait in order, and what
comes when they do is dropped; ``wait``: the source waits, for recordings of which nothing may be lost."""


class Inbox(Generic[T]):
    """Holds at most ``size`` inputs and counts what it drops, so that a slow board never works off a backlog.

    Args:
        drops: What happens when it is full.
        size: How many inputs may wait; 1 for ``newest``.
    """

    def __init__(self, drops: Drops, *, size: int = 1) -> None:
        if size < 1 or (drops == "newest" and size != 1):
            raise RequestError(f"An inbox of {size} cannot be {drops!r}.", "Give at least 1; of the newest, exactly 1.")
        self._drops, self._size = drops, size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many inputs never got an answer."""
        return self._dropped

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: it is closed, and empty."""
        with self._changed:
            return self._closed and not self._items

    def put(self, item: T) -> None:
        """Take an input; with ``wait`` not before there is room."""
        with self._changed:
            while self._drops == "wait" and len(self._items) >= self._size and not self._closed:
                self._changed.wait()
            if self._closed:
                return
            if len(self._items) >= self._size:
                self._dropped += 1
                if self._drops == "queue":
                    return
                self._items.clear()
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """Hand out the oldest input; ``None`` when none came for ``timeout_s``, or when it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Take nothing more; what waits may still be had."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
