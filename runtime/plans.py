"""Where an engine gets its plans from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgehybrid.bundle import Bundle
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Backend, make_backend
from edgehybrid.runtime.execution import Dial, Goldens, Part, Plan, load_plan


class Plans:
    """Loads the points of a bundle.

    Args:
        bundle: The bundle.
        execution: Spinning and the ceiling for threads.
        dial: Moves the thresholds of exits.
        backends: Back ends by the key that variants name; others come from the registry.
    """

    def __init__(self, bundle: Bundle, execution: ExecutionPolicy, dial: Dial, backends: Mapping[str, Backend]) -> None:
        self._bundle, self._execution, self._dial = bundle, execution, dial
        self._goldens = Goldens(bundle)
        self.backends = dict(backends)

    def load(self, part: Part) -> Plan:
        """Load a point.

        Raises:
            BackendError: It does not run here.
            ModelError: A model file cannot be used here.
            BundleError: A golden file is damaged.
        """
        point = self._bundle.point(part.point)
        if part.threads not in (None, point.threads):
            point = replace(point, threads=part.threads)
        if part.pieces and point.pieces:
            point = replace(point, variants=point.pieces)
        return load_plan(self._bundle, point, self._execution, self._backend, self._goldens, self._dial)

    def _backend(self, name: str) -> Backend:
        if name not in self.backends:
            self.backends[name] = make_backend(name)
        return self.backends[name]
