"""A bundle whose points can be told apart: each adds its own number to the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import Array
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing.backends import Behaviour, FakeBackend
from edgehybrid.testing.bundles import make_bundle, make_point

POINTS = (
    make_point("fp32", energy_mj=20, latency_ms=8),
    make_point("max", energy_mj=10, latency_ms=4),
    make_point("balanced", energy_mj=5, latency_ms=2, drop=0.01),
    make_point("min", energy_mj=2, latency_ms=1, drop=0.05),
)
MARKS = {"fp32": 0.0, "max": 1.0, "balanced": 2.0, "min": 3.0}
X = TensorSpec(name="x", dtype="float32", shape=("batch", 4))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 4))


def _adds(mark: float) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "mark"], ["y"])],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray([mark], np.float32), "mark")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def marks() -> dict[str, float]:
    """What each point adds to its input."""
    return dict(MARKS)


@pytest.fixture
def write_marks(tmp_path: Path) -> Callable[..., Bundle]:
    """Write the bundle; ``broken`` points get golden outputs that no device reproduces."""

    def write(*, broken: tuple[str, ...] = (), real: bool = True) -> Bundle:
        x: Array = np.ones((1, 4), np.float32)
        return make_bundle(
            tmp_path / "marks.bundle",
            points=POINTS,
            inputs=(X,),
            outputs=(Y,),
            golden_inputs={"x": x},
            golden_outputs={name: {"y": x + mark + 5 * (name in broken)} for name, mark in MARKS.items()},
            models={name: _adds(mark) for name, mark in MARKS.items()} if real else None,
        )

    return write


@pytest.fixture
def marks_bundle(write_marks: Callable[..., Bundle]) -> Bundle:
    """The bundle with real ONNX files."""
    return write_marks()


@pytest.fixture
def fake_backend() -> FakeBackend:
    """A back end whose variants add their mark, without an engine."""

    def adds(mark: float) -> Behaviour:
        return Behaviour(outputs=lambda feeds: {"y": feeds["x"] + np.float32(mark)})

    return FakeBackend(inputs=(X,), outputs=(Y,), behaviours={name: adds(mark) for name, mark in MARKS.items()})


class Device:
    """A device tree with a battery and a thermal zone, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.now_s = root, 1000.0
        self.battery(90)
        self.temperature(40)

    def clock(self) -> float:
        """Seconds on the tests' own clock."""
        return self.now_s

    def battery(self, pct: int, *, status: str = "Discharging") -> None:
        """Set the charge."""
        folder = self.root / "sys/class/power_supply/BAT0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"type": "Battery", "status": status, "capacity": str(pct), "present": "1"}.items():
            (folder / name).write_text(f"{text}\n")

    def temperature(self, celsius: float) -> None:
        """Set the temperature of the processor."""
        folder = self.root / "sys/class/thermal/thermal_zone0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "type").write_text("cpu-thermal\n")
        (folder / "temp").write_text(f"{int(celsius * 1000)}\n")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "root")


@pytest.fixture
def open_engine(device: Device) -> Iterator[Callable[..., Engine]]:
    """Open engines on the device, by hand and on its clock; close them all."""
    engines: list[Engine] = []

    def open_one(bundle: Bundle | Path, **options: object) -> Engine:
        settings = {"root": device.root, "device": "raspberry-pi-4b", "background": False, "clock": device.clock}
        engines.append(Engine(bundle, **{**settings, **options}))  # type: ignore[arg-type]  # the tests' own options
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()
