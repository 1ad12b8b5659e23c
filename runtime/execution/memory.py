"""Giving memory back to the system after a plan was released."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def find_trim() -> Callable[[], None]:
    """Return a function that hands free heap memory back to the system; it does nothing where libc cannot.

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
