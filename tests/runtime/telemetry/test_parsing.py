"""Text of the kernel's files to figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry.cgroup import parse_cpu_max, parse_limit, parse_membership
from edgehybrid.runtime.telemetry.cpu import Ticks, load_pct, parse_cpu_list, parse_stat
from edgehybrid.runtime.telemetry.files import integer
from edgehybrid.runtime.telemetry.firmware import parse_throttled, slowed
from edgehybrid.runtime.telemetry.memory import parse_meminfo
from edgehybrid.runtime.telemetry.pressure import parse_pressure
from edgehybrid.runtime.telemetry.thermal import OTHER, Zone, celsius, hottest, rank


def test_stat_counts_waiting_for_a_disk_as_idle() -> None:
    """User nice system idle iowait irq softirq steal: busy is all but idle and iowait."""
    expected = Ticks(busy=1 + 2 + 3 + 6 + 7 + 8, total=36)

    assert expected == parse_stat("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1\n")


def test_load_between_two_readings() -> None:
    """Half of the ticks busy is 50 %; no tick, or counters that went back, tell nothing."""
    before = Ticks(busy=100, total=1000)

    assert pytest.approx(50) == load_pct(before, Ticks(busy=150, total=1100))
    assert load_pct(before, before) is None
    assert load_pct(before, Ticks(busy=1, total=10)) is None


@pytest.mark.parametrize(
    ("text", "count"), [("0-3", 4), ("0", 1), ("0-3,6", 5), ("0,2,4-5\n", 4), ("", None), ("3-0", None), ("x", None)]
)
def test_cpu_lists(text: str, count: int | None) -> None:
    """Ranges and single cores are counted; anything else is None."""
    assert count == parse_cpu_list(text)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0", 0), ("50005", 0x50005), ("throttled=0x50005", 0x50005), ("0xE0008\n", 0xE0008), ("", None), ("hot", None)],
)
def test_throttle_bits_are_hexadecimal(text: str, bits: int | None) -> None:
    """With or without 0x, as the kernel's node or vcgencmd prints it."""
    assert bits == parse_throttled(text)


@pytest.mark.parametrize(
    ("bits", "before", "answer"),
    [
        (0x0, None, False),
        (0x1, None, False),  # under-voltage alone lowers no clock
        (0x2, None, True),
        (0x4, None, True),
        (0x8, None, True),
        (0x60000, None, False),  # long ago
        (0x60000, 0x60000, False),
        (0x60000, 0x0, True),  # between the two sweeps
        (0x10000, 0x0, False),
    ],
)
def test_sticky_bits_count_only_when_new(bits: int, before: int | None, answer: bool) -> None:
    """Bits since boot mean something only as a change."""
    assert answer is slowed(bits, before)


@pytest.mark.parametrize("millidegrees", [-89700, 150001, 2**31 - 1, -273150])
def test_temperatures_that_no_chip_has(millidegrees: int) -> None:
    """-89.7 °C is a dead accelerator, not a cold one."""
    value, why = celsius(str(millidegrees))

    assert value is None
    assert "cannot be" in why


def test_the_processors_zone_is_known_by_its_type() -> None:
    """From surest to guess: the CPU's own zone, the SoC's, any with cpu in its name, anything else."""
    kinds = ("cpu-thermal", "soc-thermal", "x86_pkg_temp", "bigcore0-cpu", "gpu-thermal", "battery", "acpitz")

    assert [rank(k) for k in kinds] == [0, 1, 1, 2, OTHER, OTHER, OTHER]


def test_the_hottest_of_the_surest_is_taken_and_a_dead_zero_is_not() -> None:
    """Rank goes before heat; exactly 0 °C beside a living sensor is ignored."""
    zones = [Zone(path=str(i), kind="", rank=r) for i, r in enumerate((0, 0, OTHER))]

    assert (zones[1], 50.0) == hottest([(zones[0], 40.0), (zones[1], 50.0), (zones[2], 90.0)])
    assert (zones[2], 30.0) == hottest([(zones[0], 0.0), (zones[2], 30.0)])
    assert hottest([]) is None


def test_pressure() -> None:
    """avg10 of some; more than 100 % cannot be."""
    assert parse_pressure("some avg10=12.34 avg60=1.00 avg300=0.00 total=5\nfull avg10=0.00 ...") == pytest.approx(
        12.34
    )
    assert parse_pressure("some avg10=512.00 avg60=1.00") is None
    assert parse_pressure("full avg10=1.00 avg60=1.00") is None


def test_available_memory_with_old_and_new_kernels() -> None:
    """MemAvailable, else free and cached together."""
    assert 4096 == parse_meminfo("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 4 kB\nCached: 2 kB")
    assert 3072 == parse_meminfo("MemFree: 1 kB\nCached: 2 kB")
    assert parse_meminfo("nothing") is None


def test_control_groups_of_both_generations() -> None:
    """The path of each controller; steps out of the tree are left out."""
    text = "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n0::/../../app/./x\nbroken\n"
    found = parse_membership(text)

    assert "docker/abc" == found["cpu"]
    assert "app/./x" == found[""]


@pytest.mark.parametrize(
    ("text", "cores"),
    [("150000 100000", 1.5), ("max 100000", None), ("-1 100000", None), ("0 0", None), ("1", None), ("a b", None)],
)
def test_quota(text: str, cores: float | None) -> None:
    """Quota by period; no limit and nonsense are None."""
    assert cores == parse_cpu_max(text)


def test_the_first_generations_huge_number_is_no_limit() -> None:
    """9223372036854771712 bytes means none."""
    assert parse_limit("9223372036854771712") is None
    assert parse_limit("max") is None
    assert 1048576 == parse_limit("1048576")


@given(text=st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    """Every parser answers to every text, with a figure in its range or with None."""
    value = integer(text)
    assert value is None or isinstance(value, int)
    degrees = celsius(text)[0]
    assert degrees is None or -40 <= degrees <= 150
    pressure = parse_pressure(text)
    assert pressure is None or 0 <= pressure <= 100
    quota = parse_cpu_max(text)
    assert quota is None or quota > 0
    bits = parse_throttled(text)
    assert bits is None or bits >= 0
    for answer in (parse_stat(text), parse_cpu_list(text), parse_meminfo(text)):
        assert answer is None or answer
    assert all(".." not in path.split("/") for path in parse_membership(text).values())
