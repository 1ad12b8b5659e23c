from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.backends import (
    MAX_CPU_SHARE,
    MAX_ISLANDS,
    Assignment,
    from_delegated,
    from_subgraphs,
    refusal,
)

NPU, CPU = "NpuExecutionProvider", "CPUExecutionProvider"


def found(pieces: list[tuple[str, list[str]]], *, compiles: bool = True) -> Assignment:
    return from_subgraphs("NPU", NPU, pieces, compiles=compiles)


def test_a_record_is_counted() -> None:
    """Nodes by provider, islands, what stayed behind, and how often a run changes the processor."""
    seen = found([(NPU, ["Conv", "Relu"]), (CPU, ["TopK"]), (NPU, ["Gemm"]), (CPU, ["TopK"])])

    assert {"NPU": 3, "CPU": 2} == seen.nodes
    assert (2, 4, ("TopK",)) == (seen.islands, seen.transfers, seen.left)
    assert "NPU 3 of 5 nodes in 2 islands; on the CPU: TopK" == seen.describe()


def test_a_provider_of_single_nodes_has_no_islands_to_tell() -> None:
    """Where nodes are handed over one by one, pieces say nothing: no figure is made up."""
    seen = found([(NPU, ["Conv"])] * 40, compiles=False)

    assert (None, None) == (seen.islands, seen.transfers)
    assert refusal(seen) is None


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([(NPU, ["Conv"])] * (MAX_ISLANDS + 1), "it falls apart"),
        ([(NPU, ["Conv"] * 6), (CPU, ["Loop"] * 4)], "40% of its nodes stay on the CPU, at most 30% may"),
        ([(CPU, ["Conv"])], "NPU took none of its 1 nodes"),
    ],
)
def test_too_little_is_refused_with_its_reason(pieces: list[tuple[str, list[str]]], why: str) -> None:
    """Many islands, a large rest, or nothing at all."""
    said = refusal(found(pieces))

    assert said is not None
    assert why in said


@given(st.integers(1, MAX_ISLANDS), st.integers(1, 50), st.integers(0, 50))
def test_within_the_limits_nothing_is_refused(islands: int, each: int, rest: int) -> None:
    """The two limits decide, and nothing else."""
    seen = found([(NPU, ["Conv"] * each)] * islands + [(CPU, ["Loop"])] * rest)

    assert (refusal(seen) is None) == (seen.cpu_share <= MAX_CPU_SHARE)
    assert islands * each + rest == seen.total


def test_what_a_delegate_took_is_followed_back() -> None:
    """LiteRT lists a delegate beside the operators that it replaced: those between its outputs and inputs are gone."""

    def op(name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
        return {"op_name": name, "inputs": inputs, "outputs": outputs}

    operators = [
        op("CONV_2D", [0, 90, 91], [1]),
        op("RELU", [1], [2]),
        op("CUMSUM", [2], [3]),
        op("FULLY_CONNECTED", [3, 92], [4]),
        op("DELEGATE", [0, 90, 91], [2]),
        op("DELEGATE", [3, 92], [4]),
    ]
    seen = from_delegated("Edge TPU", operators)

    assert {"Edge TPU": 3, "CPU": 1} == seen.nodes
    assert (2, ("CUMSUM",)) == (seen.islands, seen.left)
    assert {"CPU": 4} == from_delegated("Edge TPU", operators[:4]).nodes
