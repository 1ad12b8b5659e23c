"""What others do, each in the shape of our controller: decide, then observe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgehybrid.runtime.simulation.baselines.alert import Alert, Xi, alert, alert_app_only, alert_system_only
from edgehybrid.runtime.simulation.baselines.jouleguard import JouleGuard
from edgehybrid.runtime.simulation.baselines.poet import Poet
from edgehybrid.runtime.simulation.baselines.simple import Allowance, BestFixed, Fixed, RaceToIdle, Thresholds
from edgehybrid.runtime.simulation.baselines.task import Config, Task, configs
from edgehybrid.runtime.simulation.baselines.ztt import Ztt
from edgehybrid.runtime.simulation.drivers import Driver

BASELINES: Mapping[str, Callable[[Task], Driver]] = {
    "fixed": BestFixed,
    "race": RaceToIdle,
    "thresholds": Thresholds,
    "mcdnn": Allowance,
    "alert": alert,
    "alert-app": alert_app_only,
    "alert-sys": alert_system_only,
    "jouleguard": JouleGuard,
    "poet": Poet,
    "ztt": Ztt,
}
"""Name to how to make it."""

__all__ = [
    "BASELINES",
    "Alert",
    "Allowance",
    "BestFixed",
    "Config",
    "Fixed",
    "JouleGuard",
    "Poet",
    "RaceToIdle",
    "Task",
    "Thresholds",
    "Xi",
    "Ztt",
    "configs",
]
