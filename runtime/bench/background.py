"""Measuring beside the app's own work: little at a time, and never for more joules than the owner allows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from edgehybrid.bundle import Bundle
from edgehybrid.errors import EdgeHybridError
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.backends import Backend
from edgehybrid.runtime.bench.measuring import Look, measure
from edgehybrid.runtime.bench.store import Store
from edgehybrid.runtime.bench.values import Table
from edgehybrid.runtime.energy import EnergyModel

REST = 19.0  # pause after a round, as a multiple of the CPU time that it took: 5 % of a core

_log = logging.getLogger("edgehybrid")


class BackgroundBench:
    """Measures every point in a thread of its own, once, and hands the table over.

    Args:
        bundle: The bundle.
        device: The board.
        look: What the device said last; it is not read for this.
        store: Where to keep the table.
        joules: Stop when the rounds have cost so much, by the profile's watts.
        done: Told of the table.
        backends: Back ends by their key.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: DeviceProfile,
        look: Look,
        store: Store,
        *,
        joules: float,
        done: Callable[[Table], None],
        backends: Mapping[str, Backend] | None = None,
    ) -> None:
        self._bundle, self._device, self._look, self._store = bundle, device, look, store
        self._joules, self._done, self._backends = joules, done, backends
        self._model, self.spent_j = EnergyModel(device), 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgehybrid-bench", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after the round under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            table = measure(
                self._bundle,
                self._device,
                self._look,
                key=self._store.key,
                seconds=0.0,  # as few rounds as count
                backends=self._backends,
                pause=self._pause,
            )
            if self._stop.is_set() or self.spent_j >= self._joules:
                _log.info("bench: ended after %.2g J of %.2g J, before there was enough", self.spent_j, self._joules)
                return
            self._store.save(table)
            self._done(table)
        except EdgeHybridError as error:
            _log.warning("bench: %s", error)
        except Exception:  # noqa: BLE001  # the thread's last guard: the app goes on with the shipped figures
            _log.exception("bench: ended by an error that nobody foresaw")

    def _pause(self, cpu_s: float) -> bool:
        self.spent_j += self._model.inference(cpu_s, cpu_s).value
        return self._stop.wait(REST * cpu_s) or self.spent_j >= self._joules
