"""The firmware's program: real processes, started seldom and never waited for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgehybrid.runtime.telemetry.firmware import Firmware
from edgehybrid.runtime.telemetry.vcgencmd import INTERVAL_S, Answer, Vcgencmd


def tool(tmp_path: Path, script: str, now: list[float]) -> Vcgencmd:
    """A program that does what ``script`` says."""
    program = tmp_path / "vcgencmd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Vcgencmd(root=f"{tmp_path}/", tool=str(program), clock=lambda: now[0])


def ask_until(asked: Vcgencmd, question: str, *, gives: bool) -> Answer:
    """Ask until the process has ended; at most ten seconds."""
    for _ in range(1000):
        answer = asked.ask(question)
        if (answer.said.text is not None) == gives and "not answered yet" not in answer.said.note:
            return answer
        time.sleep(0.01)
    pytest.fail("no answer")


def test_the_first_question_is_answered_at_a_later_sweep(tmp_path: Path) -> None:
    """The first call starts the process and returns at once; a later one has its output and its age."""
    now = [0.0]
    asked = tool(tmp_path, 'echo "throttled=0x50000"', now)
    first = asked.ask("get_throttled")
    found = ask_until(asked, "get_throttled", gives=True)
    now[0] = 1.5

    assert (None, None) == (first.said.text, first.age_s)
    assert "throttled=0x50000" == found.said.text
    assert 1.5 == asked.ask("get_throttled").age_s


def test_at_most_one_process_in_an_interval_whatever_is_asked(tmp_path: Path) -> None:
    """A hundred sweeps with two questions each: one start per interval, the questions in turn."""
    now = [0.0]
    asked = tool(tmp_path, "echo $1", now)
    for sweep in range(100):
        now[0] = 0.1 * sweep
        asked.ask("get_throttled")
        asked.ask("pmic_read_adc")
        time.sleep(0.003)
    both = (ask_until(asked, q, gives=True).said.text for q in ("get_throttled", "pmic_read_adc"))

    assert ["get_throttled", "pmic_read_adc"] == list(both)
    assert 2 <= asked.starts <= 10 / INTERVAL_S + 1
    asked.close()


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    """After five seconds it is killed, and nothing is started for a minute."""
    now = [0.0]
    asked = tool(tmp_path, "exec sleep 60", now)
    started = time.perf_counter()
    asked.ask("pmic_read_adc")
    now[0] = 6.0
    answer = asked.ask("pmic_read_adc")
    now[0] = 30.0
    asked.ask("pmic_read_adc")

    assert time.perf_counter() - started < 5
    assert "did not answer" in answer.said.note
    assert 1 == asked.starts


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    """Its first words, and what to do."""
    answer = ask_until(tool(tmp_path, "echo VCHI initialization failed; exit 255", [0.0]), "get_throttled", gives=False)

    assert "VCHI initialization failed" in answer.said.note
    assert "group video" in answer.said.note


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    """Also a reason, and no error."""
    asked = Vcgencmd(root=f"{tmp_path}/", tool=str(tmp_path / "nothing"), clock=lambda: 0.0)

    assert asked.ask("get_throttled").said.text is None
    assert "No such file" in asked.ask("get_throttled").said.note


def test_the_firmware_is_asked_only_without_its_node(tmp_path: Path) -> None:
    """With the node no process is started; without it the program gives the same bits, with their age."""
    now = [0.0]
    asked = tool(tmp_path, 'echo "throttled=0x4"', now)
    node = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    node.parent.mkdir(parents=True)
    node.write_text("0\n")
    firmware = Firmware(root=f"{tmp_path}/", tool=asked)
    firmware.discover()
    by_node = firmware.read(0.0)["throttled"]
    assert (0.0, 0) == (by_node.value, asked.starts)
    node.unlink()
    firmware.discover()
    firmware.read(0.0)
    ask_until(asked, "get_throttled", gives=True)
    by_tool = firmware.read(0.0)["throttled"]

    assert (1.0, "vcgencmd get_throttled") == (by_tool.value, by_tool.source)
