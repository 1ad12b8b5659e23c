"""The controller: points, device and policy in, decisions out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edgehybrid.errors import RequestError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control.decide import Asked, decide
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.goals import Goals
from edgehybrid.runtime.control.known import Known, accelerated
from edgehybrid.runtime.control.ladder import build_ladder
from edgehybrid.runtime.control.learning import observe
from edgehybrid.runtime.control.options import Options, late_worth, worth
from edgehybrid.runtime.control.slowdown import fit
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.thermal import poles_of
from edgehybrid.runtime.control.values import Context, Decision, Observation
from edgehybrid.runtime.telemetry import Snapshot

_NO_CONTEXT = Context()


class Controller:
    """Chooses the operating point. No clock, no files, no threads: whoever calls it has them.

    Args:
        points: The points of a bundle.
        device: The board.
        policy: What the owner wants.
        state: A state to go on from; see ``save_state``.
    """

    def __init__(
        self, points: Sequence[OperatingPoint], device: DeviceProfile, policy: Policy, *, state: State | None = None
    ) -> None:
        if not points:
            raise RequestError("There are no points to choose from.", "Pass the points of a bundle.")
        self._points = tuple(points)
        self._device, self._policy = device, policy
        self._options = Options(points, device, policy.execution.max_threads)
        self._poles = poles_of(device)
        self._known: dict[tuple[frozenset[str], bool], Known] = {}
        state = state or State()
        self._state = evolve(state, slow=fit(state.slow, self._options.names))
        self._asked = Asked(context=_NO_CONTEXT, goals=Goals(), late_worth=late_worth(points))
        self._accelerated = accelerated(points)
        self._carried = frozenset(point.name for point in points if point.carried)

    @property
    def state(self) -> State:
        """What it remembers; frozen, so it may be kept."""
        return self._state

    def decide(self, snapshot: Snapshot, context: Context = _NO_CONTEXT, *, excluded: Collection[str] = ()) -> Decision:
        """Choose the point, or two of them, to run from now on.

        A point that is carried for another processor, and was not measured on this device, is not among them while
        there is any other.

        Args:
            snapshot: What the device says.
            context: What the app says.
            excluded: Points that do not work on this device.

        Raises:
            RequestError: Every point is excluded.
        """
        if context is not self._asked.context:
            self._asked = self._hear(context)
        gone = frozenset(excluded)
        if snapshot.npu_present is False:
            gone = self._without(gone, self._accelerated)
        if self._carried:
            gone = self._without(gone, self._carried)
        known = self._know(gone, reference=self._asked.goals.any or self._policy.reference)
        self._state, decision = decide(self._state, known, snapshot, self._asked)
        return decision

    def observe(self, observation: Observation) -> None:
        """Learn from one inference. Points that are not in the bundle are ignored."""
        asked, cores = self._asked, self._device.cpu.cores
        self._state = observe(
            self._state, observation, self._options, cores, asked.goals, asked.context.deadline_s, asked.late_worth
        )

    def _without(self, gone: frozenset[str], more: frozenset[str]) -> frozenset[str]:
        """Exclude ``more`` too, unless nothing were left."""
        return gone | more if any(point.name not in gone | more for point in self._points) else gone

    def _hear(self, context: Context) -> Asked:
        """Turn what the app asks for into goals."""
        quality, energy_mj = context.number("min_quality"), context.number("energy_mj")
        return Asked(
            context=context,
            goals=Goals(
                worth=None if quality is None else worth(self._points[0].quality, quality),
                energy_j=None if energy_mj is None else energy_mj / 1e3,
            ),
            late_worth=late_worth(self._points, context.number("late_quality")),
        )

    def _know(self, excluded: frozenset[str], *, reference: bool) -> Known:
        """Return what does not change while the same points are excluded."""
        key = excluded, reference
        if key not in self._known:
            ladder = build_ladder(self._points, self._policy, excluded)
            if ladder is None:
                raise RequestError("Every point is excluded.", "Leave at least one.")
            self._known[key] = Known(
                self._options, ladder, self._device, self._policy, self._poles, excluded, reference=reference
            )
        return self._known[key]
