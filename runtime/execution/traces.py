"""What a run of a plan tells besides its answer."""

from __future__ import annotations

from collections.abc import Mapping

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.dial import Turned

Seen = tuple[Turned, tuple[float, ...], tuple[float, ...], Mapping[int, int] | None]
"""What the exits saw: where the dial stood; by row the confidence of the first exit; the losses of the audits, if
any; rows by depth, ``None`` for a single input.

A bare tuple, since one is made on every run.
"""

Trace = tuple[dict[str, Array], int, float | None, Seen | None]
"""Outputs, depth, confidence of the exit that answered, and what the exits saw; ``None`` without any."""
