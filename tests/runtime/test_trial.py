from __future__ import annotations

from pathlib import Path

import numpy as np

from edgehybrid import Engine
from edgehybrid.data import open_data
from edgehybrid.quality import choose_metric
from edgehybrid.runtime.trial import run_trial
from edgehybrid.testing import make_staged_bundle, staged_input


def test_a_trial_tells_the_share_of_each_depth(tmp_path: Path) -> None:
    """Half of the samples leave at the first exit, a quarter at the second, the rest goes to the end."""
    bundle = make_staged_bundle(tmp_path / "staged.bundle")
    x = np.concatenate([staged_input(sure=s)["x"] for s in ((0.95, 0.0), (0.95, 0.0), (0.0, 0.9), (0.0, 0.0))] * 5)
    np.savez(tmp_path / "data.npz", x=x, labels=np.zeros(20, np.int64))
    samples = open_data(str(tmp_path / "data.npz")).check(bundle.doc.model.inputs)
    metric = choose_metric("accuracy", outputs=bundle.doc.model.outputs, has_labels=True, label_dtype=np.dtype("int64"))
    with Engine(bundle, root=tmp_path, device="raspberry-pi-4b", background=False, policy="balanced") as engine:
        engine.pin("max")
        engine._dial.audit("max", 0.0)  # no sample is audited
        trial = run_trial(engine, samples, metric, before=float)
    assert {1: 0.5, 2: 0.25, 3: 0.25} == trial.depth
    assert 1.0 == trial.quality.value
