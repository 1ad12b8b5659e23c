"""What bench says of arrangements, on fakes that sleep and on real stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgehybrid.bundle import Bundle
from edgehybrid.profiles import load_device
from edgehybrid.runtime.bench import Table, measure, measure_streams
from edgehybrid.runtime.bench.streams import arrangements, core_counts
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.testing import Behaviour, FakeBackend, make_point, make_staged_bundle

PI4 = load_device("raspberry-pi-4b")


def test_core_counts_double_up_to_what_is_free() -> None:
    """A half core is none."""
    assert [(), (2,), (2, 3), (2, 4), (2, 4, 6)] == [core_counts(n) for n in (1.9, 2.5, 3, 4, 6)]


def test_a_pipeline_needs_stages() -> None:
    """A point of one piece has no pipeline; one of three has none on four cores."""
    modes = [(how.mode, how.workers) for how in arrangements(make_point("max", energy_mj=1), (2,))]
    assert [("single", 1), ("replicas", 2), ("threads", 2)] == modes


def test_replicas_are_seen_to_overlap(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> None:
    """Two sleeping workers give nearly twice what one gives; threads of a fake give no more."""
    bundle = write_marks(real=False)
    for name in fake_backend.behaviours:
        fake_backend.behaviours[name] = Behaviour(latency_s=0.004, outputs=fake_backend.behaviours[name].outputs)
    backends = {"onnx": fake_backend}
    table = measure(bundle, PI4, lambda: Snapshot(at_s=0.0), key="k", seconds=0.0, backends=backends)
    table = measure_streams(bundle, PI4, table, cores=2, backends=backends, rounds=1)
    for figures in table.points:
        by_mode = {stream.mode: stream for stream in figures.streams}
        assert {"single", "replicas", "threads"} == set(by_mode)
        assert by_mode["replicas"].per_s > 1.5 * by_mode["single"].per_s
        assert by_mode["threads"].per_s < 1.3 * by_mode["single"].per_s
        assert all(stream.latency_ms >= 4 for stream in figures.streams)


def test_real_stages_are_measured_in_a_pipeline(tmp_path: Path) -> None:
    """A point with exits has stages; the figures survive being kept."""
    bundle = make_staged_bundle(tmp_path / "staged.bundle")
    table = measure(bundle, PI4, lambda: Snapshot(at_s=0.0), key="k", seconds=0.0)
    table = measure_streams(bundle, PI4, table, cores=2, rounds=1)
    modes = {figures.name: {stream.mode for stream in figures.streams} for figures in table.points}
    assert {"single", "replicas", "threads", "pipeline"} == modes["max"]
    assert {"single", "replicas", "threads"} == modes["min"]
    again = msgspec.json.decode(msgspec.json.encode(table), type=Table)
    assert again == table
