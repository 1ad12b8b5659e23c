from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.runtime.control import load_state

Load = Callable[[str, str], ModuleType]
FOLDER = Path(__file__).parents[2] / "samples" / "vibration_monitor"


def _args(bundle: Bundle, **more: Any) -> SimpleNamespace:
    given = {"policy": "balanced", "until": None, "pin": None, "answers": None, "root": "/", "replay": None}
    live = {"sensors": None, "period": 600.0, "once": False, "state": None}
    return SimpleNamespace(bundle=bundle.path, **{**given, **live, **more})


def test_the_app_sees_the_end_coming(
    import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test engine that has 7 cycles left is told within its error; a torn line and an empty one are left out."""
    lines = (FOLDER / "engine-34.csv").read_text().splitlines()
    path = tmp_path / "end.csv"
    path.write_text("\n".join([lines[0], *lines[-32:-5], "1,2,three", "", *lines[-5:]]) + "\n")
    app, service = import_sample("vibration_monitor", "app"), import_sample("common", "service")
    answers = tmp_path / "answers.jsonl"
    app.run(_args(bundle_of("vibration_monitor"), replay=path, answers=answers), service.Service({}))
    said = [json.loads(line) for line in answers.read_text().splitlines()]

    assert 3 == len(said)
    assert abs(7 - said[-1]["rul"]) < 14.0
    assert all(answer["trusted"] for answer in said)
    assert "SERVICE SOON" in capsys.readouterr().out


def test_a_service_keeps_what_its_engine_learnt(
    import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under systemd it lies in the state folder and the next start reads it; by hand nothing is written."""
    app, service = import_sample("vibration_monitor", "app"), import_sample("common", "service").Service({})
    args = _args(bundle_of("vibration_monitor"), replay=FOLDER / "engine-34.csv")
    learnt_file = import_sample("common", "app").learnt_file
    app.run(args, service)
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    app.run(args, service)

    assert learnt_file({}) is None
    assert [tmp_path / "controller.json"] == list(tmp_path.iterdir())
    assert load_state((tmp_path / "controller.json").read_bytes()).slow.log != 0.0


@pytest.mark.parametrize("content", [b"cycle,s2\n1,2\n", b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_table_is_said(
    import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path, content: bytes
) -> None:
    """A missing column, or no text at all, ends the app with the reason."""
    app, service = import_sample("vibration_monitor", "app"), import_sample("common", "service").Service({})
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(import_sample("common", "source").SourceError, match=r"no column s|cannot be read"):
        app.run(_args(bundle_of("vibration_monitor"), replay=tmp_path / "a.csv"), service)


def _readings(count: int) -> list[np.ndarray]:
    table = np.loadtxt(FOLDER / "engine-34.csv", delimiter=",", skiprows=1)
    return list(table[:count, 1:])


def test_a_stuck_sensor_is_told(import_sample: Load) -> None:
    """A sensor that holds one value for 15 cycles is named, and no longer when it moves; a quiet one is not."""
    history = import_sample("vibration_monitor", "history").History()
    for number, reading in enumerate(_readings(60)):
        if 20 <= number < 50:
            reading[4] = 2388.0
        history.add(reading)
        assert (("s8",) if 34 <= number < 50 else ()) == history.stuck


def test_readings_survive_a_power_cut(import_sample: Load, tmp_path: Path) -> None:
    """A history that is opened again is the same; a torn file begins it anew, and is said."""
    module = import_sample("vibration_monitor", "history")
    history = module.History(tmp_path / "history.json")
    for reading in _readings(40):
        history.add(reading)
    np.testing.assert_array_equal(history.window, module.History(tmp_path / "history.json").window)

    for torn in ("", "{}", '{"rows": [[1]], "held": []}', "[]", '{"rows": [], "held": [1]}'):
        (tmp_path / "history.json").write_text(torn)
        assert 0 == len(module.History(tmp_path / "history.json"))


def test_a_full_disk_does_not_stop_the_monitor(
    import_sample: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A state that cannot be written is said once; the window in memory goes on."""
    (tmp_path / ".history.json.new").symlink_to("/dev/full")
    history = import_sample("vibration_monitor", "history").History(tmp_path / "history.json")
    with caplog.at_level(logging.INFO):
        for number, reading in enumerate(_readings(31)):
            (tmp_path / ".history.json.new").unlink(missing_ok=True)
            if number < 29:
                (tmp_path / ".history.json.new").symlink_to("/dev/full")
            history.add(reading)

    assert (1, 30, 14) == history.window.shape
    assert 1 == caplog.text.count("cannot be written: No space left on device")
    assert (tmp_path / "history.json").exists()


class _Words:
    """A fake I2C bus."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.open = error, True

    def read_word(self, address: int, register: int) -> int:
        del address
        if self.error is not None:
            raise self.error
        return 0xFF00 + register

    def close(self) -> None:
        self.open = False


def _iio(root: Path) -> Path:
    device = root / "sys/bus/iio/devices/iio:device0"
    device.mkdir(parents=True)
    (device / "in_temp0_raw").write_text("1000\n")
    (device / "in_temp0_offset").write_text("-200\n")
    (device / "in_temp_scale").write_text("62.5\n")
    (device / "in_temp1_input").write_text("42000\n")
    (device / "in_temp2_raw").write_text("7\n")
    return device


def test_sensors_are_read_as_the_file_says(import_sample: Load, tmp_path: Path) -> None:
    """IIO channels with offset and scale of their own or their kind, signed words on I2C, gain and bias."""
    sensors = import_sample("vibration_monitor", "sensors")
    _iio(tmp_path)
    bus = _Words()
    found = sensors.Sensors(sensors.load_sensors(FOLDER / "sensors.toml"), root=tmp_path, open_bus=lambda _: bus)
    reading = next(found.items())

    np.testing.assert_allclose([50000, 42000, 437.5], (reading[:3] - 491.67) / 0.0018)
    np.testing.assert_array_equal([-256, -255, -254, -253, -256], reading[3:8])
    assert not bus.open


def test_a_sensor_that_is_gone_is_said(import_sample: Load, tmp_path: Path) -> None:
    """A missing channel, a chip that does not answer, a missing bus and a word that is no number name their place."""
    sensors, source = import_sample("vibration_monitor", "sensors"), import_sample("common", "source")
    wired = sensors.load_sensors(FOLDER / "sensors.toml")
    device = _iio(tmp_path)

    def read(open_bus: Callable[[int], _Words] = lambda _: _Words()) -> None:
        next(sensors.Sensors(wired, root=tmp_path, open_bus=open_bus).items())

    with pytest.raises(source.SourceError, match="does not answer"):
        read(lambda _: _Words(source.SourceError("Chip 0x48 does not answer.", "Check its wires.")))
    with pytest.raises(source.SourceError, match="/dev/i2c-99 cannot be opened"):
        import_sample("vibration_monitor", "i2c").I2cBus(99)
    (device / "in_temp2_raw").write_text("\n")
    with pytest.raises(source.SourceError, match="in_temp2_raw says what is no number"):
        read()
    (device / "in_temp2_raw").write_text("nan\n")
    with pytest.raises(source.SourceError, match="s4 says what is no number"):
        read()
    (device / "in_temp2_raw").unlink()
    with pytest.raises(source.SourceError, match="iio:device0/in_temp2 is not there"):
        read()


@pytest.mark.parametrize(("number", "says"), [(errno.EBUSY, "a driver has it"), (errno.ENXIO, "No such device")])
def test_a_busy_or_silent_chip_is_said(
    import_sample: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    """What the kernel says of a chip that a driver holds, or that pulls no wire down, comes with what to do."""
    i2c, source = import_sample("vibration_monitor", "i2c"), import_sample("common", "source")
    (tmp_path / "i2c").touch()
    device = os.open(tmp_path / "i2c", os.O_RDWR)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    kernel = SimpleNamespace(open=lambda *_: device, close=os.close, O_RDWR=os.O_RDWR)
    monkeypatch.setattr(i2c, "os", kernel)
    monkeypatch.setattr(i2c, "fcntl", SimpleNamespace(ioctl=refuse))
    bus = i2c.I2cBus(1)
    with pytest.raises(source.SourceError, match=f"Chip 0x48 on /dev/i2c-1 does not answer: {says}"):
        bus.read_word(0x48, 0)
    bus.close()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "s3"', 'name = "s2"', "does not name each"),
        ("register = 3", "", "needs iio, or bus"),
        ("gain =", "gian =", "cannot be used"),
        ("bus = 1", 'bus = "one"', "cannot be used"),
    ],
)
def test_a_wrong_sensors_file_is_said(import_sample: Load, tmp_path: Path, old: str, new: str, says: str) -> None:
    """A sensor twice, without a place, a torn line, a word for a number: each with the example to look at."""
    path = tmp_path / "sensors.toml"
    path.write_text((FOLDER / "sensors.toml").read_text().replace(old, new, 1))

    with pytest.raises(import_sample("common", "source").SourceError, match=says):
        import_sample("vibration_monitor", "sensors").load_sensors(path)


class _Flaky:
    """Sensors that fail at first, and whose board's clock is set back in between."""

    name = "sensors"
    live = True

    def __init__(self, error: Exception, failures: int) -> None:
        self.error, self.failures = error, failures

    def items(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise self.error
        yield _readings(1)[0]


@pytest.mark.parametrize(("failures", "bursts"), [(0, 1), (3, 1), (4, 0)])
def test_a_burst_is_tried_again_a_few_times(import_sample: Load, failures: int, bursts: int) -> None:
    """Sensors that fail are asked again with pauses; a burst that never succeeds is left out."""
    app, source = import_sample("vibration_monitor", "app"), import_sample("common", "source")
    service = import_sample("common", "service").Service({})
    flaky = _Flaky(source.SourceError("Gone.", "Check it."), failures)
    args = SimpleNamespace(once=True, period=600.0)
    readings = app.cycles(args, flaky, service, source.Backoff(first_s=0.001))

    assert bursts == len(list(readings))


def test_setting_the_clock_does_not_move_a_burst(import_sample: Load) -> None:
    """Pauses follow the monotonic clock: exactly one period lies between two bursts, wherever the wall clock jumps."""
    now = [0.0]
    service = import_sample("common", "service").Service({}, lambda: now[0])
    service.stop = SimpleNamespace(  # an Event on the same made-up time
        is_set=lambda: now[0] > 1500, wait=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    app, args = import_sample("vibration_monitor", "app"), SimpleNamespace(once=False, period=600.0)
    backoff = import_sample("common", "source").Backoff()
    at = [now[0] for _ in app.cycles(args, _Flaky(ValueError(), 0), service, backoff)]

    assert [0.0, 600.0, 1200.0] == at
