"""Which figures an engine chooses its points by: those measured on this device, or those of the bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgehybrid.bundle import Bundle
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.backends import Backend
from edgehybrid.runtime.bench.background import BackgroundBench
from edgehybrid.runtime.bench.measuring import Look
from edgehybrid.runtime.bench.store import Store, choose, with_figures
from edgehybrid.runtime.bench.values import Table


class Figures:
    """The points of a bundle with the figures to choose by.

    Args:
        bundle: The bundle.
        device: The board.
        on_mains: What feeds it now.

    Attributes:
        points: The points.
        table: What was measured here; ``None``: the figures are the bundle's.
    """

    def __init__(self, bundle: Bundle, device: DeviceProfile, on_mains: bool | None) -> None:
        self._bundle, self._device = bundle, device
        self._store = Store(bundle, device)
        self._bench: BackgroundBench | None = None
        self.table: Table | None = None
        self.points: tuple[OperatingPoint, ...] = ()
        self._take(choose(self._store.load(), on_mains))

    def measure_beside(
        self, joules: float | None, look: Look, changed: Callable[[], None], backends: Mapping[str, Backend]
    ) -> None:
        """Measure in the background for at most ``joules``, unless that was done; call ``changed`` when it is."""
        if joules is None or self.table is not None:
            return

        def done(table: Table) -> None:
            self._take(table)
            changed()

        self._bench = BackgroundBench(
            self._bundle, self._device, look, self._store, joules=joules, done=done, backends=backends
        )
        self._bench.start()

    def point(self, name: str) -> OperatingPoint:
        """Return the point called ``name`` with the figures to choose by."""
        return next(point for point in self.points if point.name == name)

    def close(self) -> None:
        """End a measurement that is under way."""
        if self._bench is not None:
            self._bench.close()

    def _take(self, table: Table | None) -> None:
        self.table, self.points = table, with_figures(self._bundle.points, table)
