from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import RequestError

Load = Callable[[str, str], ModuleType]


class _Camera:
    """A source that is missing at first, gives three numbers, is unplugged, and comes back."""

    name = "camera"
    live = True

    def __init__(self, error: type[Exception], missing: int) -> None:
        self._error, self._missing, self.opened = error, missing, 0
        self._numbers = itertools.count()

    def items(self) -> Generator[int, None, None]:
        self.opened += 1
        if self.opened <= self._missing:
            raise self._error("It is not there.", "Plug it in.")
        yield from itertools.islice(self._numbers, 3)
        raise self._error("It went away.", "Plug it in.")


class _Recording:
    """A source that ends."""

    name = "recording"
    live = False

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self._count, self._error = count, error

    def items(self) -> Generator[int, None, None]:
        yield from range(self._count)
        if self._error is not None:
            raise self._error


@given(puts=st.lists(st.integers(), max_size=30), size=st.integers(1, 5), drops=st.sampled_from(["newest", "queue"]))
def test_what_is_not_handed_out_is_counted(import_sample: Load, puts: list[int], size: int, drops: str) -> None:
    """Whatever comes, an inbox holds at most its size, keeps the order, and counts each input that it drops."""
    inbox = import_sample("common", "inbox").Inbox(drops, size=1 if drops == "newest" else size)
    for number in puts:
        inbox.put(number)
    inbox.close()
    got = []
    while not inbox.ended:
        got.append(inbox.get(0))

    assert len(puts) == len(got) + inbox.dropped
    assert (puts[-1:] if drops == "newest" else puts[:size]) == got
    assert inbox.get(0) is None


def test_an_inbox_that_waits_loses_nothing(import_sample: Load) -> None:
    """A recording is answered whole: its source waits for room."""
    inbox = import_sample("common", "inbox").Inbox("wait", size=2)
    thread = threading.Thread(target=lambda: ([inbox.put(number) for number in range(50)], inbox.close()))
    thread.start()
    got = []
    while not inbox.ended:
        got.append(inbox.get(5))
    thread.join()

    assert (list(range(50)), 0) == ([number for number in got if number is not None], inbox.dropped)


def test_an_impossible_inbox_is_refused(import_sample: Load) -> None:
    """An inbox of none, or of several newest, is refused."""
    inbox = import_sample("common", "inbox")
    for drops, size in (("newest", 2), ("queue", 0)):
        with pytest.raises(RequestError, match="inbox of"):
            inbox.Inbox(drops, size=size)


def test_a_device_that_goes_away_is_opened_again(import_sample: Load, caplog: pytest.LogCaptureFixture) -> None:
    """Missing at first, then unplugged while running: it is opened again after pauses that grow, and said each time."""
    source, boxes = import_sample("common", "source"), import_sample("common", "inbox")
    camera, inbox = _Camera(source.SourceError, missing=2), boxes.Inbox("wait", size=1)
    pauses = source.Backoff(first_s=0.001, most_s=0.004)
    with caplog.at_level(logging.INFO), source.Feed(camera, inbox, backoff=pauses) as feed:
        got = [inbox.get(5) for _ in range(7)]

    assert list(range(7)) == got
    assert feed.reopened >= 4
    assert "camera: It is not there. Plug it in. Trying again in 0.0 s." in caplog.text
    assert "camera is back" in caplog.text
    assert feed.failure is None


@given(first=st.floats(0.1, 2), factor=st.integers(1, 100), failures=st.integers(1, 10_000))
def test_pauses_grow_and_stay_bounded(import_sample: Load, first: float, factor: int, failures: int) -> None:
    """Each pause is at least the one before and never above the bound, however long a device is away."""
    backoff = import_sample("common", "source").Backoff(first_s=first, most_s=first * factor)

    assert first <= backoff.after(failures) <= backoff.after(failures + 1) <= first * factor


def test_a_recording_ends_and_its_failure_is_kept(import_sample: Load) -> None:
    """A recording is not opened again; what was wrong with it is there for the end of the app."""
    source, boxes = import_sample("common", "source"), import_sample("common", "inbox")
    for error in (None, source.SourceError("No sound.", "Record one."), ZeroDivisionError("a driver's own bug")):
        inbox = boxes.Inbox("wait", size=9)
        with source.Feed(_Recording(2, error), inbox) as feed:
            got = [inbox.get(5), inbox.get(5), inbox.get(5)]

        assert [0, 1, None] == got
        assert error is feed.failure


@pytest.fixture
def systemd(tmp_path: Path) -> Generator[socket.socket, None, None]:
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(5)
        yield link


def test_systemd_hears_that_it_lives(import_sample: Load, systemd: socket.socket) -> None:
    """It says when it is ready and how it is, and feeds the watchdog four times per period, never more."""
    now = [0.0]
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "2000000"}
    service = import_sample("common", "service").Service(environ, lambda: now[0])
    service.ready()
    service.status("listening")
    for _ in range(100):  # 4 s
        service.alive()
        now[0] += 0.04
    service.stopping()
    heard: list[bytes] = []
    while heard[-1:] != [b"STOPPING=1"]:
        heard.append(systemd.recv(100))

    assert [b"READY=1", b"STATUS=listening"] == heard[:2]
    assert [b"WATCHDOG=1"] * 8 == heard[2:-1]
    assert 0.5 == service.patience_s


def test_without_systemd_nothing_is_said(import_sample: Load) -> None:
    """Started by hand there is nobody to tell, and nothing fails; nor when systemd restarts."""
    service = import_sample("common", "service").Service({})
    service.ready()
    service.alive()
    gone = import_sample("common", "service").Service({"NOTIFY_SOCKET": "@edgehybrid-nobody", "WATCHDOG_USEC": "9000"})
    gone.alive()


def test_the_app_ends_when_told(import_sample: Load) -> None:
    """What still arrives after SIGTERM is not waited for."""
    service = import_sample("common", "service")
    told, inbox = service.Service({}), import_sample("common", "inbox").Inbox("queue", size=9)
    for number in range(5):
        inbox.put(number)
    got = []
    for number in service.arriving(inbox, told):
        got.append(number)
        if number == 2:
            told.stop.set()

    assert [0, 1, 2] == got


def test_a_full_disk_costs_answers_in_the_file_only(
    import_sample: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be written is said once, its answers are counted, and it goes on when there is room."""
    path = tmp_path / "answers.jsonl"
    path.symlink_to("/dev/full")
    answers = import_sample("common", "answers").Answers(path, wall=lambda: 5.0)
    with caplog.at_level(logging.INFO):
        for number in range(3):
            answers.give(f"answer {number}", number=number)
        path.unlink()
        answers.give("answer 3", number=3)

    assert (4, 3) == (answers.given, answers.lost)
    assert ["answer 0", "answer 1", "answer 2", "answer 3"] == capsys.readouterr().out.splitlines()
    assert {"at": 5.0, "number": 3} == json.loads(path.read_text())
    assert 1 == caplog.text.count("No space left on device")
    assert "can be written again; 3 answers are not in it" in caplog.text


def test_a_clock_that_jumps_changes_stamps_only(
    import_sample: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A board without a clock starts in 1970 and is set once it has a network; set back, it goes on all the same."""
    walls = iter([12.0, 1.8e9, 1.7e9])
    answers = import_sample("common", "answers").Answers(tmp_path / "answers.jsonl", wall=lambda: next(walls))
    for number in range(3):
        answers.give(f"answer {number}", number=number)

    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [0, 1, 2] == [line["number"] for line in lines]
    assert [12.0, 1.8e9, 1.7e9] == [line["at"] for line in lines]
    assert (3, 0) == (answers.given, answers.lost)
    assert 3 == len(capsys.readouterr().out.splitlines())


def test_the_journal_reads_priorities(import_sample: Load) -> None:
    """Under systemd a line begins with its priority, and stays one line."""
    formatter = import_sample("common", "answers")._Priorities()
    record = logging.LogRecord("camera", logging.WARNING, "", 0, "gone\nagain", None, None)

    assert "<4>camera: gone again" == formatter.format(record)
