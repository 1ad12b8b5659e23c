"""Giving memory back to the system after a plan was released."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

WORTH_BYTES = 16 * 2**20
"""From this size on a released plan's memory is handed back at once.

Handing back takes two to three milliseconds in which every thread waits that allocates (*measured*): more than one
inference of a smaller model, whose few megabytes the next plan takes over anyway.
"""

WORTH_RELEASES = 100
"""After so many releases of small plans what they left is handed back too, so that it stays bounded."""


def find_trim() -> Callable[[], None]:
    """Return a function that hands free memory back to the system: of the heap, where libc can.

    glibc keeps what ``free`` returns, so that without this the resident set stays at its highest mark.
    """
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # musl, or no libc to be found
        return lambda: None
    malloc_trim.argtypes = [ctypes.c_size_t]
    malloc_trim.restype = ctypes.c_int

    def trim() -> None:
        malloc_trim(0)

    return trim
