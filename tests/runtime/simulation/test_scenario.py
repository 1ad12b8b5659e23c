"""Scenarios are read whole, or refused with every problem and its fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import ScenarioError
from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.simulation import Scenario, case_names, draw_world, load_scenario, make_trace, read_trace
from edgehybrid.runtime.simulation.scenario import Document

HEAD = 'schema = 1\n[device]\nprofile = "raspberry-pi-4b"\n[mission]\nduration_h = 1\n'
EXAMPLES = Path(__file__).parents[3] / "docs" / "how-to" / "scenarios"


def write(folder: Path, text: str) -> Path:
    """Write a scenario."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    """Return why a scenario is refused."""
    with pytest.raises(ScenarioError) as error:
        load_scenario(write(folder, text))
    return str(error.value)


def test_little_is_needed(tmp_path: Path) -> None:
    """A board and a length make a scenario: on mains, at 25 °C, an input a second, no deadline."""
    scenario = load_scenario(write(tmp_path, HEAD))

    assert "mine" == scenario.name
    assert (25.0, 1.0, None, None) == (
        scenario.doc.ambient.celsius,
        scenario.doc.load.rate_hz,
        scenario.doc.battery,
        scenario.deadline_s,
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_load(path: Path, points: tuple[OperatingPoint, ...]) -> None:
    """Every scenario of the documentation loads, says what it is, and has inputs."""
    scenario = load_scenario(path)

    assert scenario.doc.title
    assert len(draw_world(scenario, points).arrivals_s) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "schema = 1"),
        ("schema = 2", "schema = 1"),
        ("schema = 1\n[device]\nprofile = 3\n[mission]\nduration_h = 1", "device.profile"),
        ("schema = 1\n[mission]\nduration_h = 1", "device"),
        (HEAD + "[baterie]\ncapacity_wh = 1", "did you mean battery?"),
        (HEAD + "[battery]\ncapacity = 1", "did you mean capacity_wh?"),
        (HEAD + "[battery]\ncapacity_wh = 0", "battery.capacity_wh is 0, it must be above 0"),
        (HEAD + "[battery]\ncapacity_wh = 1\ncharge = 1.5", "battery.charge is 1.5, it must be 0 to 1"),
        (HEAD + "[battery]\ncapacity_wh = nan", "battery.capacity_wh is nan, it must be a number"),
        (HEAD + "[ambient]\n", "either celsius or trace"),
        (HEAD + '[load]\narrivals = "poisson"', "needs load.rate_hz"),
        (HEAD + '[load]\narrivals = "sometimes"', "load.arrivals"),
        (HEAD + '[load]\narrivals = "trace"', "needs load.trace"),
        (HEAD + '[contention]\nmodel = "trace"', "go together"),
        (HEAD + '[solar]\ntrace = "sun.csv"\npanel_w = 5', "needs a battery"),
        (HEAD + '[ambient]\ntrace = "none.csv"', "No such file"),
        (HEAD.replace("raspberry-pi-4b", "raspberry-pi-9"), "There is no device profile named 'raspberry-pi-9'"),
        (HEAD.replace("[mission]", 'case = "bag"\n[mission]'), "'bag' is not known, there are open"),
        (HEAD + "[random]\nruns = 0", "random.runs is 0"),
        ("schema = ", "is not TOML"),
    ],
)
def test_bad_scenarios_say_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    """Each problem is named where it stands."""
    assert said in refused(tmp_path, text)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Two problems need one round, not two."""
    why = refused(tmp_path, HEAD + "[battery]\ncapacity_wh = -1\n[random]\nmodel_error = 3")

    assert "battery.capacity_wh" in why
    assert "random.model_error" in why


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column t_s"),
        ("time,x\n0,1\n", "it has time, x"),
        ("t_s\n0\n1\n", "no column beside t_s"),
        ("t_s,x\n0,1\n", "fewer than two rows"),
        ("t_s,x\n0,1\n5,hot\n", "line 3"),
        ("t_s,x\n0,1\n5,nan\n", "not finite"),
        ("t_s,x\n0,1\n5,2\n3,2\n", "t_s falls at row 3"),
    ],
)
def test_bad_traces_say_where(tmp_path: Path, text: str, said: str) -> None:
    """A trace that is none says in which line."""
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        read_trace(path)

    assert said in str(error.value)


def test_a_column_is_picked_by_name(tmp_path: Path) -> None:
    """``file.csv:column`` takes one of several columns; without, the first that is not the time."""
    (tmp_path / "log.csv").write_text("t_s,load,temp_c\n0,1,20\n10,2,30\n", encoding="utf-8")
    scenario = load_scenario(write(tmp_path, HEAD + '[ambient]\ntrace = "log.csv:temp_c"'))

    assert scenario.ambient is not None
    assert [20.0, 30.0] == scenario.ambient.values.tolist()
    assert [1.0, 2.0] == read_trace(tmp_path / "log.csv").values.tolist()


@given(st.floats(0, 1e5))
def test_traces_begin_again(at_s: float) -> None:
    """A trace repeats with its own period."""
    trace = make_trace(np.asarray([0.0, 10.0, 20.0]), np.asarray([1.0, 3.0, 2.0]))

    assert 30.0 == trace.period_s
    assert float(trace.at(np.asarray(at_s))) == pytest.approx(float(trace.at(np.asarray(at_s + 30.0))), abs=1e-3)


def test_arrivals(points: tuple[OperatingPoint, ...]) -> None:
    """Periodic inputs come on time, Poisson ones at their rate, those of a trace as it says, again and again."""

    def arrivals(load: dict[str, object], trace: object = None) -> np.ndarray:
        import msgspec

        raw = {
            "schema": 1,
            "device": {"profile": "raspberry-pi-4b"},
            "mission": {"duration_h": 1.0},
            "load": load,
        }
        doc = msgspec.convert(raw, Document)
        return draw_world(Scenario(name="x", doc=doc, load=trace), points).arrivals_s  # type: ignore[arg-type]  # a trace

    trace = make_trace(np.asarray([0.0, 100.0, 1000.0]), np.asarray([1.0, 2.0, 0.0]))

    assert [0.0, 0.5, 1.0] == arrivals({"rate_hz": 2.0})[:3].tolist()
    assert 7200 == pytest.approx(len(arrivals({"arrivals": "poisson", "rate_hz": 2.0})), rel=0.05)
    assert [0.0, 100.0, 100.0, 1500.0, 1600.0, 1600.0, 3000.0, 3100.0, 3100.0] == arrivals(
        {"arrivals": "trace"}, trace
    ).tolist()


def test_the_reference_names_every_field_and_case() -> None:
    """The page of the scenario has each field of each section, and each case."""
    import dataclasses
    from typing import get_args, get_type_hints

    page = (EXAMPLES.parents[1] / "reference" / "scenario.md").read_text(encoding="utf-8")
    missing = []
    for name, hint in get_type_hints(Document).items():
        kind = next((part for part in (hint, *get_args(hint)) if dataclasses.is_dataclass(part)), None)
        keys = [f"{name}.{field.name}" for field in dataclasses.fields(kind)] if kind else [name]
        missing += [key for key in keys if f"`{key}`" not in page]

    assert [] == missing
    assert [] == [name for name in case_names() if f"| `{name}` |" not in page]
