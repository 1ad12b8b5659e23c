"""One arena for all ONNX Runtime sessions of the process, so that points that take turns work in the same memory.

By default every session keeps an arena as large as its largest need. Shared, five loaded points took 1.35 times the
memory of the largest alone, in place of 2.4 times, and ran no slower (*measured*, ``benchmarks/hardware/memory.py``).
"""

from __future__ import annotations

import threading
from typing import Any

_SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")
_IDENTITY = (  # y = x, one float: what shrinking takes along; onnx is no part of the device half
    b'\x08\x08\x12\x00:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

_lock = threading.Lock()
_made = False
_smallest: Any = None


def share(ort: Any, options: Any) -> None:
    """Let a session that is opened with ``options`` use the arena of the process."""
    global _made  # of the process, as the arena is
    with _lock:
        if not _made:
            kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
            ort.create_and_register_allocator(kind, None)
            _made = True
    options.add_session_config_entry("session.use_env_allocators", "1")


def shrink() -> None:
    """Give back what of the arena nobody uses: after a large point was released, say."""
    global _smallest  # opened once
    if not _made:
        return
    import numpy as np
    import onnxruntime as ort

    with _lock:
        if _smallest is None:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            options.add_session_config_entry("session.use_env_allocators", "1")
            _smallest = ort.InferenceSession(_IDENTITY, options, providers=["CPUExecutionProvider"])
        run = ort.RunOptions()
        run.add_run_config_entry(*_SHRINK)
        _smallest.run(None, {"x": np.zeros(1, np.float32)}, run)
