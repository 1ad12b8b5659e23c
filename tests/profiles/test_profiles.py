"""Device profiles and policies."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import ProfileError
from edgehybrid.profiles import detect_device, device_names, load_device, load_policy, policy_names
from edgehybrid.testing import DeviceTree

DEVICE = """
schema = 1
name = "mine"
title = "Mine"
[cpu]
name = "x"
cores = 2
max_mhz = 1000
[power]
idle_w = 1.0
busy_w = [2.0, 2.5]
uncertainty = 0.2
[thermal]
throttle_c = 80
critical_c = 85
"""
POLICY = (Path(__file__).parents[2] / "profiles/policies/balanced.toml").read_text()


def test_the_promised_devices_and_policies_are_there() -> None:
    """Five boards and three policies come with the package."""
    boards = ("generic-linux", "raspberry-pi-3b-plus", "raspberry-pi-4b", "raspberry-pi-5", "raspberry-pi-zero-2w")

    assert boards == device_names()
    assert ("balanced", "battery-saver", "performance") == policy_names()


@pytest.mark.parametrize("name", device_names())
def test_every_device_loads_and_names_the_source_of_its_figures(name: str) -> None:
    """A shipped profile validates, is named as its file, and says where power and heat limits come from."""
    device = load_device(name)
    figures = " ".join(s.figure for s in device.sources)

    assert name == device.name
    assert "power" in figures
    assert "thermal" in figures
    assert len(device.power.busy_w) == device.cpu.cores


def test_watts_of_the_pi_4b_are_the_measured_ones() -> None:
    """The anchor: 0.86 W for the first core, 0.815 W each when all four are busy."""
    power = load_device("raspberry-pi-4b").power

    assert pytest.approx(0.86) == power.core_w(1)
    assert pytest.approx((5.91 - 2.65) / 4) == power.core_w(4)


def test_policies_go_from_generous_to_frugal() -> None:
    """On every axis that saves energy, battery-saver is at least as strict as balanced, and that as performance."""
    ordered = [load_policy(n) for n in ("performance", "balanced", "battery-saver")]

    for loose, strict in pairwise(ordered):
        assert loose.battery.full_above_pct < strict.battery.full_above_pct
        assert loose.battery.least_below_pct < strict.battery.least_below_pct
        assert loose.thermal.headroom_c < strict.thermal.headroom_c
        assert loose.background_steps <= strict.background_steps


def test_a_users_own_file_works_by_its_path(tmp_path: Path) -> None:
    """A path to a TOML file loads as a shipped name does, as text and as Path."""
    file = tmp_path / "mine.toml"
    file.write_text(DEVICE)

    assert "mine" == load_device(str(file)).name
    assert load_device(file) == load_device(str(file))


def test_a_wrong_name_suggests_the_right_one() -> None:
    """A slip in a name is answered with the nearest one and with all of them."""
    with pytest.raises(ProfileError, match="Did you mean 'balanced'") as error:
        load_policy("balancd")
    with pytest.raises(ProfileError, match="raspberry-pi-4b"):
        load_device("raspberry-pi-4")

    assert "performance" in error.value.fix


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", "schema 2; this version reads schema 1"),
        ("schema = 1", "schema = 0", "never was"),
        ("schema = 1", "", "schema"),
        ('name = "mine"', 'name = " "', "name is empty"),
        ("cores = 2", "cores = 0", "cpu.cores is 0"),
        ("cores = 2", "cores = 1", "2 values for 1 cores"),
        ("cores = 2", 'cores = "two"', "cpu.cores"),
        ("idle_w = 1.0", "idle_w = -1", "power.idle_w is -1"),
        ("idle_w = 1.0", "idle_w = nan", "power.idle_w is nan"),
        ("idle_w = 1.0", "idel_w = 1.0", "did you mean idle_w"),
        ("[2.0, 2.5]", "[2.5, 2.0]", "must rise"),
        ("[2.0, 2.5]", "[]", "busy_w is empty"),
        ("uncertainty = 0.2", "uncertainty = 20", "0.2 means 20 %"),
        ("throttle_c = 80", "throttle_c = 90", "throttle_c < critical_c"),
        ("critical_c = 85", "critical_c = 85\nsoft_limit_c = 83", "soft_limit_c"),
        ("critical_c = 85", "critical_c = 85\npoles = [{ kelvin = 1, tau_s = 0 }]", "tau_s is 0"),
        ("critical_c = 85", "critical_c = 85\npoles = [{ kelvin = 1, tau = 2 }]", "poles\\[0\\].tau"),
        ("[cpu]", "[cpu", "is not TOML"),
    ],
)
def test_a_bad_device_is_refused_with_the_field_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Whatever is wrong in a profile, the error names the file and the field."""
    assert old in DEVICE
    file = tmp_path / "mine.toml"
    file.write_text(DEVICE.replace(old, new))

    with pytest.raises(ProfileError, match=says) as error:
        load_device(file)

    assert str(file) in error.value.what
    assert error.value.fix


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("full_above_pct = 60.0", "full_above_pct = 120", "full_above_pct is 120"),
        ("full_above_pct = 60.0", "full_above_pct = 10", "least_below_pct must not be above"),
        ("late_share = 0.05", "late_share = 5", "late_share is 5"),
        ("audit_share = 0.02", "audit_share = 2", "exits.audit_share is 2"),
        ("max_age_s = 5.0", "max_age_s = 0", "gate.max_age_s is 0"),
        ("background_steps = 1", "background_steps = -1", "background_steps"),
        ("background_steps = 1", "background_steps = 1.5", "background_steps"),
        ("interval_s = 2.0", "interval_s = 0", "switching.interval_s is 0"),
        ("headroom_c = 5.0", "headroom_c = 99", "thermal.headroom_c"),
        ("spinning = false", "spinning = false\nmax_threads = 0", "execution.max_threads is 0"),
        ("spinning = false", "spining = false", "did you mean spinning"),
        ("max_age_s = 5.0", "max_age_s = 5.0\n[[rules]]\nname = 'r'\nsteps = -1", "steps is -1"),
        ("max_age_s = 5.0", "max_age_s = 5.0\n[[rules]]\nname = 'r'\nstep = 1", "did you mean steps"),
        ("max_age_s = 5.0", "max_age_s = 5.0\n[[rules]]\nname = 'r'\nsteps = 1\nbetween = ['x', '6:00']", "between"),
        ("max_age_s = 5.0", "max_age_s = 5.0\n[[rules]]\nname = 'r'", "it changes nothing"),
        (
            "max_age_s = 5.0",
            "max_age_s = 5.0\n[[rules]]\nname = 'r'\nsteps = 1\nimportance_above = 2",
            "importance_above",
        ),
        (
            "max_age_s = 5.0",
            "max_age_s = 5.0\n[[rules]]\nname = 'r'\nsteps = 1\nwhen = {charging = 1}",
            "when.charging",
        ),
    ],
)
def test_a_bad_policy_is_refused_with_the_field_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Whatever is wrong in a policy, the error names the field."""
    assert old in POLICY
    file = tmp_path / "mine.toml"
    file.write_text(POLICY.replace(old, new))

    with pytest.raises(ProfileError, match=says):
        load_policy(file)


def test_missing_empty_and_unreadable_files_are_told_apart(tmp_path: Path) -> None:
    """No file, an empty one, a folder, and bytes that are no text each have their own words."""
    empty, binary = tmp_path / "empty.toml", tmp_path / "binary.toml"
    empty.touch()
    binary.write_bytes(b"\xff\x00\xfe")

    for path, says in ((tmp_path / "no.toml", "no file"), (empty, "empty"), (tmp_path, "read"), (binary, "not TOML")):
        with pytest.raises(ProfileError, match=says):
            load_device(path)


@given(raw=st.binary(max_size=200))
def test_any_bytes_load_or_raise_our_error(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No file content gets past as anything but a profile or a ProfileError."""
    file = tmp_path_factory.mktemp("p") / "x.toml"
    file.write_bytes(raw)

    with pytest.raises(ProfileError):
        load_device(file)


@pytest.mark.parametrize(
    ("preset", "name"),
    [("pi4_ups", "raspberry-pi-4b"), ("pi5", "raspberry-pi-5"), ("zero2w", "raspberry-pi-zero-2w")],
)
def test_a_board_is_known_by_its_device_tree(tmp_path: Path, preset: str, name: str) -> None:
    """The model name, with its trailing NUL, leads to the profile."""
    assert name == detect_device(getattr(DeviceTree, preset)(tmp_path).root).name


def test_the_second_place_of_the_model_name_works_too(tmp_path: Path) -> None:
    """Without /proc/device-tree, the firmware folder of sysfs is asked."""
    tree = DeviceTree(tmp_path).write("sys/firmware/devicetree/base/model", "Raspberry Pi 3 Model B Plus Rev 1.3\0")

    assert "raspberry-pi-3b-plus" == detect_device(tree.root).name


def test_an_unknown_board_is_generic_with_its_own_cores(tmp_path: Path) -> None:
    """The generic profile takes cores, clock, memory and instruction sets from the system; watts grow by core."""
    tree = DeviceTree.laptop(tmp_path).write(
        "proc/cpuinfo", "model name\t: Some CPU\nflags\t\t: sse avx2 avx512_vnni\n"
    )
    tree.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4200000\n")
    device = detect_device(tree.root)

    assert "generic-linux" == device.name
    assert (
        device.cpu.name,
        device.cpu.cores,
        device.cpu.max_mhz,
        device.cpu.isa,
    ) == ("Some CPU", 8, 4200.0, ("avx2", "avx512_vnni"))
    assert 8 == len(device.power.busy_w)
    assert 16000 == device.memory_mib


@pytest.mark.parametrize("model", ["Raspberry Pi 3 Model B Rev 1.2", "Carrier for Raspberry Pi 5 Model B"])
def test_a_relative_of_a_known_board_is_not_taken_for_it(tmp_path: Path, model: str) -> None:
    """A Pi 3 Model B is no Plus, and a name that only mentions a board is not that board."""
    tree = DeviceTree(tmp_path).model(model).cores(4)

    assert "generic-linux" == detect_device(tree.root).name


@pytest.mark.parametrize(
    "path", ["proc/device-tree/model", "proc/cpuinfo", "proc/meminfo", "sys/devices/system/cpu/present"]
)
@given(raw=st.binary(max_size=64))
def test_detection_survives_any_content(path: str, raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in its files, some profile comes out."""
    tree = DeviceTree(tmp_path_factory.mktemp("d")).write(path, raw)

    assert detect_device(tree.root).name in device_names()
