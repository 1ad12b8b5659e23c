from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from numpy.typing import NDArray

from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.runtime.backends import LoadRequest, Session, TfliteBackend

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], Session]:
    """Load the bytes of a TFLite file as the device would."""

    def open_file(content: bytes, name: str = "model") -> Session:
        place = tmp_path / f"{name}.tflite"
        place.write_bytes(content)
        return TfliteBackend().load(LoadRequest(model_file=place))

    return open_file


def reference(model: onnx.ModelProto) -> Run:
    """The model in ONNX Runtime."""
    session = open_session(Graph(proto=model).proto)
    names = [node.name for node in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True))
