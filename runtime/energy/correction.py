"""Corrects the profile's watts by what a sensor or a gauge has seen. Pure: observations in, the next estimate out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgehybrid.profiles import Power

SIGMAS = 1.96
"""Half a 95 % interval in standard deviations."""
_SURPRISE = 3.0  # standard deviations; more means that the doubt was too small, not that the world is odd
_MOST_DOUBT = 100.0
_IDLE_FLOOR, _SCALE_FLOOR = 0.003, 0.01  # relative; the filter is never surer, so it goes on following
_LEAST_DOUBT = 0.02  # relative; no straight line fits a board better, whatever the filter thinks
_LEAST_SCALE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Two figures of a board, ``P = idle_w + scale · extra``, with their covariance.

    ``extra`` is what the profile says that the busy cores take above idle. Recursive least squares, that is a Kalman
    filter of a state at rest (Kalman, 1960); it starts at the profile with the profile's own uncertainty. An
    observation that is further off than that uncertainty allows widens it, so a foreign profile is left quickly.
    """

    idle_w: float
    scale: float = 1.0
    idle_var: float
    scale_var: float
    covariance: float = 0.0
    observations: int = 0

    @classmethod
    def of(cls, power: Power) -> Correction:
        """Start from a profile's watts."""
        doubt = max(power.uncertainty, 0.01) / SIGMAS
        return cls(idle_w=power.idle_w, idle_var=(doubt * power.idle_w) ** 2, scale_var=doubt**2)

    def seen(self, watts: float, *, extra_w: float, error_w: float) -> Correction:
        """Take in one observation of the board's power.

        Args:
            watts: Mean power over some time, in W.
            extra_w: What the profile says that the cores busy in that time take above idle, in W.
            error_w: Half the 95 % interval of ``watts``, in W; above 0.
        """
        noise = (error_w / SIGMAS) ** 2
        surprise = watts - self.watts(extra_w)
        own = self._variance(extra_w)
        grown = min(max((surprise**2 / _SURPRISE**2 - noise) / own, 1.0), _MOST_DOUBT)
        idle_var, scale_var, both = (v * grown for v in (self.idle_var, self.scale_var, self.covariance))
        total = own * grown + noise
        to_idle, to_scale = (idle_var + both * extra_w) / total, (both + scale_var * extra_w) / total
        idle = max(self.idle_w + to_idle * surprise, 0.0)
        scale = max(self.scale + to_scale * surprise, _LEAST_SCALE)
        return replace(
            self,
            idle_w=idle,
            scale=scale,
            idle_var=max(idle_var - to_idle**2 * total, (_IDLE_FLOOR * idle) ** 2, 1e-9),
            scale_var=max(scale_var - to_scale**2 * total, (_SCALE_FLOOR * scale) ** 2),
            covariance=both - to_idle * to_scale * total,
            observations=self.observations + 1,
        )

    def watts(self, extra_w: float) -> float:
        """Power of the board in W when the profile says ``extra_w`` above idle."""
        return self.idle_w + self.scale * extra_w

    def uncertainty(self, extra_w: float) -> float:
        """Half the 95 % interval of `watts`, in W."""
        return max(SIGMAS * math.sqrt(self._variance(extra_w)), _LEAST_DOUBT * self.watts(extra_w))

    @property
    def idle_uncertainty(self) -> float:
        """Half the 95 % interval of ``idle_w``, in W."""
        return max(SIGMAS * math.sqrt(self.idle_var), _LEAST_DOUBT * self.idle_w)

    @property
    def scale_uncertainty(self) -> float:
        """Half the 95 % interval of ``scale``."""
        return max(SIGMAS * math.sqrt(self.scale_var), _LEAST_DOUBT * self.scale)

    def _variance(self, extra_w: float) -> float:
        return max(self.idle_var + 2 * self.covariance * extra_w + self.scale_var * extra_w**2, 1e-12)
