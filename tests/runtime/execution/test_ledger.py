from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.execution import LatencyStats, Ledger, Note, Setting
from edgehybrid.runtime.execution.dial import turn_to

notes = st.lists(
    st.tuples(
        st.floats(0, 1e6),
        st.sampled_from(["max", "min"]),
        st.integers(1, 3),
        st.floats(1e-6, 10),
        st.none(),
        st.just(1),
        st.floats(0, 1),
    ),
    max_size=30,
)


@given(batches=st.lists(notes, max_size=6))
def test_every_run_is_counted_once(batches: list[list[Note]]) -> None:
    """However runs are batched, the counts by point and by depth are those of the runs."""
    ledger = Ledger()
    for batch in batches:
        ledger.add(batch)
    runs = [note for batch in batches for note in batch]
    assert len(runs) == ledger.inferences
    assert Counter(note[1] for note in runs) == ledger.points
    assert Counter(note[2] for note in runs) == ledger.depths
    assert len(runs) == ledger.latency.n


def test_latency_is_that_of_the_latest_thousand() -> None:
    """Percentiles in milliseconds, of the most recent runs only."""
    ledger = Ledger()
    assert LatencyStats(n=0) == ledger.latency
    ledger.add([(0.0, "max", 1, 9.0, None, 1, 0.0)] * 500)
    ledger.add([(0.0, "max", 1, (i + 1) / 1e3, None, 1, 0.0) for i in range(1000)])
    stats = ledger.latency
    assert 1000 == stats.n
    assert 1000.0 == pytest.approx(stats.max_ms)
    assert float(np.percentile(np.arange(1, 1001), 95)) == pytest.approx(stats.p95_ms)


def test_rows_of_a_batch_count_by_their_own_depth() -> None:
    """One run of four rows: one inference, four inputs by depth."""
    turned = turn_to(Setting(), "max", [])
    ledger = Ledger()
    ledger.add(
        [
            (0.0, "max", 3, 0.01, (turned, (0.9, 0.1, 0.9, 0.1), (), {1: 2, 3: 2}), 1, 0.0),
            (1.0, "max", 3, 0.01, None, 1, 0.0),
        ]
    )
    assert (2, {"max": 2}, {1: 2, 3: 3}) == (ledger.inferences, ledger.points, ledger.depths)
