"""edgehybrid: export hybrid networks as measured operating points, and run the best one that the device allows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgehybrid.errors import EdgeHybridError
from edgehybrid.lazy import lazily

if TYPE_CHECKING:
    from edgehybrid.bundle import Bundle as Bundle
    from edgehybrid.runtime import Arrangement as Arrangement
    from edgehybrid.runtime import Context as Context
    from edgehybrid.runtime import Decision as Decision
    from edgehybrid.runtime import Engine as Engine
    from edgehybrid.runtime import Result as Result
    from edgehybrid.runtime import Snapshot as Snapshot

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it once, when it is imported; decision 64

__version__ = "0.1.0"

__all__ = [
    "Arrangement",
    "Bundle",
    "Context",
    "Decision",
    "EdgeHybridError",
    "Engine",
    "Result",
    "Snapshot",
    "__version__",
]

__getattr__ = lazily(
    __name__,
    {
        "Arrangement": "edgehybrid.runtime",
        "Bundle": "edgehybrid.bundle",
        "Context": "edgehybrid.runtime",
        "Decision": "edgehybrid.runtime",
        "Engine": "edgehybrid.runtime",
        "Result": "edgehybrid.runtime",
        "Snapshot": "edgehybrid.runtime",
    },
)
