"""Goals of the mean: what was asked for, what was really delivered, and what is therefore asked of the next inputs.

The error of the sum so far (an integral) is paid back over the next inputs, so that goals are met on average exactly,
however wrong the figures of the bundle are, and not input by input with a margin.
"""

from __future__ import annotations

from msgspec import Struct

from edgehybrid.runtime.control.evolve import evolve

_HORIZON = 150.0  # inputs over which a debt is paid back: late answers come by chance
_WINDUP = 30.0  # most inputs' worth of debt that is remembered: a goal out of reach is not chased for ever


class Goals(Struct, frozen=True, kw_only=True, gc=False):
    """What was asked for.

    Attributes:
        worth: Mean quality to reach at the least energy; ``None``: as good as possible.
        energy_j: Mean energy of an input above the idle board that must not be exceeded; ``None`` without.
    """

    worth: float | None = None
    energy_j: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.worth is not None or self.energy_j is not None


class Debt(Struct, frozen=True, kw_only=True, gc=False):
    """What is owed from inputs so far; negative where more than asked was given.

    Attributes:
        worth: Sum of goal less delivered quality.
        energy_j: Sum of energy taken less energy allowed.
    """

    worth: float = 0.0
    energy_j: float = 0.0


def owe(debt: Debt, goals: Goals, worth: float, energy_j: float, span: tuple[float, float]) -> Debt:
    """Count one input.

    Args:
        debt: So far.
        goals: What was asked for.
        worth: Quality that it is expected to have, by its option and whether it was in time.
        energy_j: Energy that it took.
        span: Between the least and the largest worth, and energy in J, of the options; bounds what is remembered.
    """
    after = debt
    if goals.worth is not None:
        most = _WINDUP * max(span[0], 1e-9)
        after = evolve(after, worth=min(max(after.worth + goals.worth - worth, -most), most))
    if goals.energy_j is not None:
        most = _WINDUP * max(span[1], 1e-9)
        after = evolve(after, energy_j=min(max(after.energy_j + energy_j - goals.energy_j, -most), most))
    return after


def asked(debt: Debt, goals: Goals, pole: float) -> Goals:
    """Return the goals for the next inputs, with the debt paid back over the horizon; ``pole`` makes it longer."""
    part = (1.0 - pole) / _HORIZON
    return Goals(
        worth=None if goals.worth is None else goals.worth + debt.worth * part,
        energy_j=None if goals.energy_j is None else max(goals.energy_j - debt.energy_j * part, 0.0),
    )
