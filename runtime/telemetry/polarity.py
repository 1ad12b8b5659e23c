"""Which sign of a current means that the battery empties. Pure: proofs in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass, replace

_LEAST = 0.02  # smaller figures prove nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Polarity:
    """What has been proved about a driver's sign. The kernel's rule (negative: discharging) is broken by many.

    A proof is a current seen while the gauge has moved two steps one way, or while the status says the direction.
    Once the same sign was seen under both directions the driver gives sizes only, and its sign is never used.
    """

    emptying: int = 0  # sign seen while it emptied
    filling: int = 0

    def proved(self, signed: float, direction: int) -> Polarity:
        """Take in ``signed`` seen while the battery certainly emptied (``direction`` 1) or filled (-1)."""
        if not direction or abs(signed) < _LEAST:
            return self
        sign = 1 if signed > 0 else -1
        return replace(self, emptying=sign) if direction > 0 else replace(self, filling=sign)

    def direction(self, signed: float) -> int:
        """``1`` when ``signed`` means emptying, ``-1`` filling, ``0`` when nothing proves either."""
        if abs(signed) < _LEAST or (self.emptying and self.emptying == self.filling):
            return 0
        positive = self.emptying or -self.filling  # what a positive current means
        return positive if signed > 0 else -positive
