"""The app as a systemd service: readiness, watchdog and status by sd_notify, a clean end on SIGTERM; no dependency.

Outside of systemd ``NOTIFY_SOCKET`` is not set, and all of this does nothing but listen for signals.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

from samples.common.inbox import Inbox

T = TypeVar("T")

MOST_PATIENCE_S = 1.0


class Service:
    """What systemd wants to hear.

    Args:
        environ: Where ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` stand.
        clock: Monotonic clock in seconds.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        watchdog_s = float(environ.get("WATCHDOG_USEC", "0")) / 1e6
        self.patience_s = min(MOST_PATIENCE_S, watchdog_s / 4) if watchdog_s else MOST_PATIENCE_S
        self._pause_s = watchdog_s / 4
        self._clock = clock
        self._told_s = float("-inf")
        self.stop = threading.Event()

    def listen(self) -> None:
        """End cleanly on SIGTERM and SIGINT; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())

    def ready(self) -> None:
        """Say that the first input may come."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog, not more often than it needs. Only the main loop calls it: a hung one gets restarted."""
        now_s = self._clock()
        if self._pause_s and now_s - self._told_s >= self._pause_s:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end is wanted."""
        self._tell("STOPPING=1")

    def sleep(self, seconds: float) -> None:
        """Sleep, feeding the watchdog; shorter when the app is told to end."""
        end_s = self._clock() + seconds
        while (left_s := end_s - self._clock()) > 0 and not self.stop.is_set():
            self.alive()
            self.stop.wait(min(left_s, self._pause_s or left_s))

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:  # systemd restarts itself
            link.sendto(text.encode(), address)


def arriving(inbox: Inbox[T], service: Service) -> Iterator[T]:
    """Yield what comes into ``inbox`` until it ends or the service shall; feeds the watchdog in between."""
    while not service.stop.is_set() and not inbox.ended:
        item = inbox.get(service.patience_s)
        service.alive()
        if item is not None:
            yield item
