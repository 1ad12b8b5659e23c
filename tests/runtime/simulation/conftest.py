"""Points with figures that are given, and scenarios made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy, load_device, load_policy
from edgehybrid.runtime.simulation import Ambient, Board, Document, Load, Mission, Random, Scenario
from edgehybrid.testing import make_point


@pytest.fixture
def points() -> tuple[OperatingPoint, ...]:
    """Five points, the last with an exit that half of the inputs take, and nearly all at the relaxed end."""
    early = make_point("min", energy_mj=2, latency_ms=10, drop=0.05)
    early = replace(
        early,
        depths=(
            DepthFigures(share=0.5, relaxed_share=0.9, latency_ms=5, cpu_ms=5),
            DepthFigures(share=0.5, relaxed_share=0.1, latency_ms=11, cpu_ms=11),
        ),
        relaxed_quality=replace(early.quality, value=early.quality.value - 0.02),
    )
    return (
        make_point("fp32", energy_mj=20, latency_ms=80),
        make_point("max", energy_mj=10, latency_ms=40),
        make_point("balanced", energy_mj=5, latency_ms=20, drop=0.01),
        early,
    )


@pytest.fixture
def board() -> DeviceProfile:
    """A Raspberry Pi 4B."""
    return load_device("raspberry-pi-4b")


@pytest.fixture
def policy() -> Policy:
    """The balanced policy."""
    return load_policy("balanced")


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    """Make a scenario: an hour on a Pi 4B at 25 °C with an input a second, and what is given."""

    def make(**parts: Any) -> Scenario:
        given = {name: parts.pop(name) for name in list(parts) if name in ("duration_h", "deadline_ms")}
        traces = {name: parts.pop(f"{name}_trace", None) for name in ("ambient", "solar", "load", "contention")}
        doc = Document(
            **{
                "schema": 1,
                "device": Board(profile="raspberry-pi-4b", slowdown=5.0),
                "mission": Mission(**{"duration_h": 1.0, **given}),
                "ambient": Ambient(celsius=25.0),
                "load": Load(rate_hz=1.0),
                "random": Random(model_error=0.0),
                **parts,
            }
        )
        return Scenario(name="made", doc=doc, **traces)

    return make
