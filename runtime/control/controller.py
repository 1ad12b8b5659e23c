"""The controller: points, device and policy in, decisions out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from edgehybrid.errors import RequestError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control.decide import decide
from edgehybrid.runtime.control.estimators import learn
from edgehybrid.runtime.control.ladder import build_ladder
from edgehybrid.runtime.control.state import State
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
        self._by_name = {point.name: point for point in points}
        self._device, self._policy = device, policy
        self._state = state or State()

    @property
    def state(self) -> State:
        """What it remembers; frozen, so it may be kept."""
        return self._state

    def decide(self, snapshot: Snapshot, context: Context = _NO_CONTEXT, *, excluded: Collection[str] = ()) -> Decision:
        """Choose the point to run from now on.

        Args:
            snapshot: What the device says.
            context: What the app says.
            excluded: Points that do not work on this device.

        Raises:
            RequestError: Every point is excluded.
        """
        ladder = build_ladder(self._points, self._policy, excluded)
        if ladder is None:
            raise RequestError("Every point is excluded.", "Leave at least one.")
        self._state, decision = decide(self._state, ladder, self._device, self._policy, snapshot, context)
        return decision

    def observe(self, observation: Observation) -> None:
        """Learn from one inference. Points that are not in the bundle are ignored."""
        point = self._by_name.get(observation.point)
        if point is not None:
            self._state = replace(self._state, learned=learn(self._state.learned, observation, point))
