from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("ai_edge_litert", reason="the extra export-tflite is not installed")

from benchmarks.hardware.operators import CASES
from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.formats.litert.gate import FLOAT_PARITY, measure_parity
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.runtime.backends import Session

_INPUTS = 3


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refused])
def test_an_operator_computes_what_it_does_in_onnx(name: str, load: Callable[[bytes], Session]) -> None:
    """The file of one operator gives ONNX Runtime's numbers, within 1e-4 of their range, under the same names."""
    case = CASES[name]
    model = case.model()
    session = open_session(model)
    names = [node.name for node in session.get_outputs()]
    rows = [case.feeds(seed) for seed in range(_INPUTS)]

    found = measure_parity(
        load(convert(Graph(proto=model), rows[0])),
        lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True)),
        rows,
    )

    assert found.difference <= FLOAT_PARITY


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.refused])
def test_what_cannot_be_written_is_refused_by_name_and_place(name: str) -> None:
    """An operator in a form that TFLite lacks is refused with the operator and the node, and never written wrongly."""
    case = CASES[name]
    with pytest.raises(ModelError, match=f"{case.op} 'the-one'"):
        convert(Graph(proto=case.model()), case.feeds(0))


def test_the_suite_is_wide_and_refuses_little() -> None:
    """At least 40 operators are tried, and at least 95 of 100 convert."""
    refused = sum(case.refused for case in CASES.values())

    assert len({case.op for case in CASES.values()}) >= 40
    assert refused <= 0.05 * len(CASES)
