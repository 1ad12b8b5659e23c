from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_CHILD = """
import sys
from pathlib import Path
from edgehybrid.exporters import ExportOptions, export
model, data, out = sys.argv[1:]
options = ExportOptions(effort="quick", cache=False, budget_s=0.2, levels=1, max_drop=1.0)
export(model, out, data=data, eval_data=data, options=options)
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
"""  # the kernel's own high-water mark: that of ``resource`` would count what the test process held when it forked


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_samples(zoo: Any, tmp_path: Path) -> None:
    """A whole export of 2,000 samples peaks at most a tenth above one of 100, though the data alone is 60 MB more."""
    s = zoo.sketch()
    y = s.op("ReduceMean", s.op("Reshape", "x", s.ints(-1, 128, 64)), s.ints(1), keepdims=0)
    y = s.op("Relu", s.op("Add", s.op("MatMul", y, s.weight(64, 48)), s.weight(48)))
    graph = s.close(s.op("MatMul", y, s.weight(48, 32)), ["batch", 8192], ["batch", 32])
    zoo.save(graph, tmp_path / "m.onnx")
    peaks = []
    for count in (100, 2000):
        data = tmp_path / f"{count}.npz"
        np.savez(data, x=np.random.default_rng(0).standard_normal((count, 8192)).astype(np.float32))
        command = [sys.executable, "-c", _CHILD, str(tmp_path / "m.onnx"), str(data), str(tmp_path / f"{count}.bundle")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))

    assert peaks[1] <= 1.1 * peaks[0]
