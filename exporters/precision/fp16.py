"""``fp16``: weights are float16 on disk and float32 when they compute: half the bytes, nearly exact, no data needed.

``Cast`` on constants, which ONNX Runtime folds away when it loads the model; it computes no float16 on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting
from edgehybrid.exporters.skip import Skip

MIN_WEIGHTS = 1024
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class StoredFloat16:
    """``w = Cast(float16(w))``; ``|w - float16(w)| <= |w| / 2048`` for all but numbers below 6e-5."""

    name: ClassVar[str] = "fp16"
    needs_ranges: ClassVar[bool] = False

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:  # noqa: ARG002  # protocol
        """Halve the constants that the named ``nodes`` read."""
        model = graph.edit()
        editor = Editor(model)
        touched: set[str] = set()
        skipped: list[Skip] = []
        made: dict[ir.Value, ir.Value] = {}
        for node in list(model.graph):
            if node.name not in nodes:
                continue
            for index, value in enumerate(node.inputs):
                array = array_of(value)
                if value is None or array is None or array.dtype != np.float32 or array.size < MIN_WEIGHTS:
                    continue
                if float(np.abs(array).max()) > _LARGEST:
                    skipped.append(Skip(where=str(node.name), why="a weight is too large for float16"))
                    continue
                if value not in made:
                    half = editor.weight(f"{value.name}_f16", array.astype(np.float16))
                    cast = editor.node(node, "Cast", [half], name=f"{value.name}_cast", to=int(ir.DataType.FLOAT))
                    made[value] = cast.outputs[0]
                node.replace_input_with(index, made[value])
                touched.add(str(node.name))
        if not touched:
            why = "it has no float constants of at least 1,024"
            skips = skipped or [Skip(where=str(node.name), why=why) for node in model.graph if node.name in nodes]
            return SchemeResult(graph=graph, touched=frozenset(), skipped=tuple(skips))
        editor.close()
        return SchemeResult(graph=Graph.of(model), touched=frozenset(touched), skipped=tuple(skipped))
