"""From a mix on the hull to what runs: steps by the trust in the model, one dial, no pair that comes and goes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgehybrid.runtime.control.appraise import Appraised
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.hull import Mix, at_energy
from edgehybrid.runtime.control.options import Options
from edgehybrid.runtime.control.selection import Choice

_OPEN = 0.05  # a second option is begun from this share on; once there it stays
_EVEN = 1.0 + 1e-9

Key = tuple[str, int | None]  # a point and its threads


class Present(Struct, frozen=True, kw_only=True, gc=False):
    """What runs now.

    Attributes:
        first: Gets ``share`` of the inputs; an empty name before the first decision.
        second: Gets the rest; ``None`` without.
        share: 0 to 1.
        scalar: Exit scalar of both.
    """

    first: Key
    second: Key | None
    share: float
    scalar: float | None


def approach(choice: Choice, present: Present, pole: float) -> Mix:
    """Go only part of the way up where something limits and predictions were wrong of late; down at once.

    ``E <- E + (1 - pole) (E* - E)``, JouleGuard's and CALOREE's controller on what an input takes.
    """
    mix, kept = choice.mix, choice.kept
    if pole <= 0.0 or not choice.limit:
        return mix
    first_j = _energy_j(kept, present.first, present.scalar or 0.0)
    second_j = first_j if present.second is None else _energy_j(kept, present.second, present.scalar or 0.0)
    if first_j is None or second_j is None:
        return mix
    now_j = present.share * first_j + (1.0 - present.share) * second_j
    if mix.energy_j <= now_j:
        return mix
    return evolve(
        at_energy(choice.hull, now_j + (1.0 - pole) * (mix.energy_j - now_j)), price=mix.price, reached=mix.reached
    )


def settle(mix: Mix, kept: Sequence[Appraised], options: Options, present: Present, limit: str) -> Mix:
    """Make a mix into what can run.

    Two settings of the exits of one point are one setting between them: their shares and qualities lie on a straight
    line, so the thresholds move continuously with the price. Two points share one dial.

    Args:
        mix: As the hull has it.
        kept: Every option as it is expected to do now.
        options: Of the bundle.
        present: What runs now.
        limit: What binds: ``"quality"``, ``"energy"``, ``"heat"`` or nothing.
    """
    low, high = mix.low, mix.high
    if low is not high and low.option.scalar is not None and high.option.scalar is not None:
        if _key(low) == _key(high):
            return _one_setting(mix, options)
        if low.option.scalar != high.option.scalar:
            mix = _one_dial(mix, kept)
    return _steady(mix, kept, present, limit)


def _key(one: Appraised) -> Key:
    return one.option.point, one.option.threads


def _energy_j(kept: Sequence[Appraised], key: Key, scalar: float) -> float | None:
    """Return what an input takes with a point at a setting: straight between the settings that are known."""
    mine = sorted((one.option.scalar or 0.0, one.energy_j) for one in kept if _key(one) == key)
    if not mine:
        return None
    (low, low_j), (high, high_j) = mine[0], mine[-1]
    return low_j + (high_j - low_j) * min(max((scalar - low) / (high - low), 0.0), 1.0) if high > low else low_j


def _one_setting(mix: Mix, options: Options) -> Mix:
    low, high, share = mix.low, mix.high, mix.share
    strict, relaxed = high.option.scalar or 0.0, low.option.scalar or 0.0
    option = options.at(high.option, relaxed + share * (strict - relaxed))
    in_time = low.in_time + share * (high.in_time - low.in_time)
    one = Appraised(option, mix.worth, mix.energy_j, in_time)
    return evolve(mix, low=one, high=one, share=0.0)


def _one_dial(mix: Mix, kept: Sequence[Appraised]) -> Mix:
    """Return the better mix of the two points for the same energy with both at one setting; the cheaper one alone."""
    best, energy_j = mix.single("energy"), mix.energy_j
    for scalar in (mix.low.option.scalar, mix.high.option.scalar):
        low, high = (_at(kept, _key(one), scalar) for one in (mix.low, mix.high))
        if low is None or high is None or not low.energy_j <= energy_j <= high.energy_j * _EVEN:
            continue
        share = (energy_j - low.energy_j) / (high.energy_j - low.energy_j) if high.energy_j > low.energy_j else 0.0
        tried = evolve(mix, low=low, high=high, share=min(share, 1.0))
        best = tried if tried.worth > best.worth else best
    return best


def _at(kept: Sequence[Appraised], key: Key, scalar: float | None) -> Appraised | None:
    """Find an option by point, threads and setting; where the point has no exits the setting does not matter."""
    return next((one for one in kept if _key(one) == key and one.option.scalar in (None, scalar)), None)


def _steady(mix: Mix, kept: Sequence[Appraised], present: Present, limit: str) -> Mix:
    """Begin a second option only for a share worth it, and go on with the present pair while its end will do.

    A limit of energy or heat is never overrun for it.
    """
    if mix.low is not mix.high:
        if (_key(mix.high), _key(mix.low)) == (present.first, present.second):
            return mix
        near = mix.low if mix.share < _OPEN else mix.high
        if mix.share >= _OPEN and (mix.share <= 1.0 - _OPEN or limit != "quality"):
            return mix
    else:
        near = mix.low
    single = evolve(mix, low=near, high=near, share=0.0)
    if not limit or present.second is None or _key(near) not in (present.first, present.second):
        return single
    below = _key(near) == present.second
    other = _at(kept, present.first if below else present.second, near.option.scalar)
    if other is None:
        return single
    if other.energy_j > near.energy_j and other.worth > near.worth and below:
        return evolve(single, high=other)
    if other.energy_j < near.energy_j and other.worth < near.worth and not below:
        return evolve(single, low=other, share=1.0)
    return single
