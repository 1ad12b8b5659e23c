"""A part of a graph as a graph of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx
from onnx import helper

from edgehybrid.errors import ExportError
from edgehybrid.exporters.depth.flow import Flow
from edgehybrid.exporters.model import Graph, bodies


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A typed input or output; ``None`` in the shape is an axis without name, no shape an unknown rank."""

    name: str
    elem_type: int
    shape: tuple[int | str | None, ...] | None

    @classmethod
    def of(cls, info: onnx.ValueInfoProto) -> Tensor:
        """Read it from a graph."""
        tensor = info.type.tensor_type
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in tensor.shape.dim
        )
        return cls(name=info.name, elem_type=tensor.elem_type, shape=shape if tensor.HasField("shape") else None)

    def info(self) -> onnx.ValueInfoProto:
        """Write it as a graph does."""
        return helper.make_tensor_value_info(self.name, self.elem_type, self.shape)


def make_part(
    graph: Graph,
    flow: Flow,
    nodes: Collection[int],
    wanted: Sequence[tuple[str, Tensor]],
    given: Mapping[str, Tensor],
    *,
    name: str,
    keep_inputs: bool = False,
) -> Graph:
    """Make a graph of some nodes of another; weights, functions and metadata go with them.

    Args:
        graph: The other one.
        flow: Its data flow.
        nodes: Positions of the nodes.
        wanted: Values and the outputs that they become; a value that nobody here makes is passed on.
        given: Values that come from outside, and the inputs that they become.
        name: Of the part; it is appended to that of the graph.
        keep_inputs: Whether inputs that nobody reads stay.

    Raises:
        ExportError: If the model has an input of a name that a stage needs.
    """
    whole = graph.proto.graph
    outer = flow.inputs_of(nodes) | {value for value, _ in wanted if flow.makers.get(value) not in nodes}
    renamed = _new_names(flow, wanted, {value: tensor.name for value, tensor in given.items()})
    proto = _frame(graph.proto)
    part = proto.graph
    part.name = f"{whole.name}-{name}"
    part.metadata_props.extend(whole.metadata_props)
    for index in sorted(nodes):
        _rename(part.node.add(), whole.node[index], renamed)
    for value, tensor in wanted:
        here = renamed.get(value, value)
        if here != tensor.name:
            part.node.append(helper.make_node("Identity", [here], [tensor.name], name=f"{tensor.name}_identity"))
    part.input.extend(tensor.info() for value, tensor in given.items() if value in outer)
    own = [value for value in whole.input if value.name in flow.inputs and (keep_inputs or value.name in outer)]
    part.input.extend(_named_batch(value, given, wanted) for value in own)
    part.output.extend(tensor.info() for _, tensor in wanted)
    part.initializer.extend(tensor for tensor in whole.initializer if tensor.name in outer)
    part.sparse_initializer.extend(tensor for tensor in whole.sparse_initializer if tensor.values.name in outer)
    outside = {tensor.name for _, tensor in wanted} | {tensor.name for tensor in given.values()}
    made = {value for index in nodes for value in whole.node[index].output}
    for info in whole.value_info:
        if info.name in made and renamed.get(info.name, info.name) not in outside:
            part.value_info.add().CopyFrom(info)
            part.value_info[-1].name = renamed.get(info.name, info.name)
    return Graph(proto=proto)


def rename_output(graph: Graph, old: str, new: str) -> Graph:
    """Give an output another name; the inputs and the other outputs stay.

    Raises:
        ExportError: If the model has an input of that name.
    """
    flow = Flow(graph.proto.graph)
    outputs = [Tensor.of(value) for value in graph.proto.graph.output]
    wanted = [(tensor.name, replace(tensor, name=new) if tensor.name == old else tensor) for tensor in outputs]
    nodes = flow.above([tensor.name for tensor in outputs])
    return make_part(graph, flow, nodes, wanted, {}, name="renamed", keep_inputs=True)


def _frame(whole: onnx.ModelProto) -> onnx.ModelProto:
    """All of a model but its graph."""
    proto = onnx.ModelProto()
    for field, value in whole.ListFields():
        if field.name in ("opset_import", "metadata_props", "functions", "training_info"):
            getattr(proto, field.name).extend(value)
        elif field.name != "graph":
            setattr(proto, field.name, value)
    return proto


def _new_names(flow: Flow, wanted: Sequence[tuple[str, Tensor]], given: Mapping[str, str]) -> dict[str, str]:
    """New names of values; what has such a name already gets another one."""
    renamed = dict(given)
    for value, tensor in wanted:
        if value in flow.makers and value not in given:
            renamed.setdefault(value, tensor.name)
    taken = flow.makers.keys() | flow.inputs | flow.weights
    for new in {*renamed.values(), *(tensor.name for _, tensor in wanted)}:
        if new not in taken or renamed.get(new) == new:
            continue
        if new in flow.inputs or new in flow.weights:
            raise ExportError(f"The model has an input or a weight called {new!r}.", "Rename it before the export.")
        if new not in renamed:
            other = f"{new}_before"
            while other in taken:
                other += "_"
            renamed[new] = other
    return renamed


def _rename(new: onnx.NodeProto, node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Copy ``node`` to ``new`` with other names for its values, in the graphs inside of it too."""
    new.CopyFrom(node)
    _rename_inside(new, names)


def _rename_inside(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    for fields in (node.input, node.output):
        for index, name in enumerate(fields):
            if name in names:
                fields[index] = names[name]
    for body in bodies(node):
        for inner in body.node:
            _rename_inside(inner, names)
        for value in body.output:
            value.name = names.get(value.name, value.name)


def _named_batch(
    value: onnx.ValueInfoProto, given: Mapping[str, Tensor], wanted: Sequence[tuple[str, Tensor]]
) -> onnx.ValueInfoProto:
    """An input of the model; a first axis without a name gets that of the batch, so that the outputs' is known."""
    shapes = [tensor.shape for tensor in (*given.values(), *(tensor for _, tensor in wanted)) if tensor.shape]
    batch = next((shape[0] for shape in shapes if isinstance(shape[0], str)), None)
    dims = value.type.tensor_type.shape.dim
    if batch is None or not dims or dims[0].WhichOneof("value") is not None:
        return value
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    copy.type.tensor_type.shape.dim[0].dim_param = batch
    return copy
