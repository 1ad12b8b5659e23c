"""Small moves on an open graph that every pass needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"


class Editor:
    """Adds nodes and weights with names that are free; one per edited model."""

    def __init__(self, model: ir.Model) -> None:
        self.model, self.graph = model, model.graph
        self._taken = {str(node.name) for node in self.graph}
        self._values = {str(value.name) for node in self.graph for value in node.outputs}
        self._values |= {str(value.name) for value in self.graph.inputs} | set(self.graph.initializers)

    def weight(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        """Add a constant; the name gets a number if it is taken."""
        value = ir.Value(name=self._free(name, self._values), const_value=ir.tensor(np.array(array, order="C")))
        value.dtype, value.shape = value.const_value.dtype, ir.Shape(array.shape)  # type: ignore[union-attr]  # just set
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        before: ir.Node,
        op: str,
        inputs: Sequence[ir.Value | None],
        *,
        name: str,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> ir.Node:
        """Insert a node before ``before``."""
        node = ir.node(op, inputs, attributes, domain=domain, num_outputs=outputs, name=self._free(name, self._taken))
        for index, value in enumerate(node.outputs):
            value.name = self._free(f"{node.name}_out{index or ''}", self._values)
        if domain and domain not in self.graph.opset_imports:
            self.graph.opset_imports[domain] = 1
        self.graph.insert_before(before, node)
        return node

    def supplant(self, old: ir.Value, new: ir.Value) -> None:
        """Let everybody read ``new`` instead of ``old``; an output of the graph keeps its name."""
        if new.type is None:
            new.type = old.type
        if new.shape is None:
            new.shape = old.shape
        if old.is_graph_output():
            name, old.name = old.name, self._free(f"{old.name}_before", self._values)
            new.name = name
        old.replace_all_uses_with(new, replace_graph_outputs=True)

    def close(self) -> None:
        """Drop what nobody reads any more, nodes and weights."""
        common.RemoveUnusedNodesPass()(self.model)

    def _free(self, name: str, taken: set[str]) -> str:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        return candidate


def array_of(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The constant behind ``value``, or ``None`` if it is known only at run time."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Value of an attribute, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value
