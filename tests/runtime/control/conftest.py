from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy, load_device, load_policy
from edgehybrid.runtime import Controller
from edgehybrid.testing.bundles import make_point

FIVE = tuple(
    make_point(name, energy_mj=energy, latency_ms=energy, drop=drop)
    for name, energy, drop in (
        ("fp32", 40.0, 0.0),
        ("max", 20.0, 0.0),
        ("high", 16.0, 0.005),
        ("balanced", 10.0, 0.01),
        ("low", 6.0, 0.02),
        ("min", 3.0, 0.05),
    )
)


@pytest.fixture(scope="session")
def points() -> tuple[OperatingPoint, ...]:
    """The reference and five points; latency in ms equals energy in mJ."""
    return FIVE


@pytest.fixture(scope="session")
def pi() -> DeviceProfile:
    """A board that throttles at 80 °C and stops at 85 °C."""
    return load_device("raspberry-pi-4b")


@pytest.fixture(scope="session")
def policy() -> Policy:
    """60 % to 15 % of charge, 3 % hysteresis; 5 °C headroom and hysteresis; 15 s dwell."""
    return load_policy("balanced")


@pytest.fixture
def make_controller(points: tuple[OperatingPoint, ...], pi: DeviceProfile, policy: Policy) -> Callable[..., Controller]:
    """A controller with some of its parts replaced."""

    def make(
        *, points: Sequence[OperatingPoint] = points, device: DeviceProfile = pi, policy: Policy = policy
    ) -> Controller:
        return Controller(points, device, policy)

    return make
