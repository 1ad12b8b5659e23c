"""Cut a graph into a chain of stages.

Cuts are found on the float graph and hold for all that is made from it: nodes keep their names when they are rewritten
or quantized. In integers the cut is behind the ``QuantizeLinear``, so that integers cross and ONNX Runtime still fuses
on both sides: behind the ``DequantizeLinear`` it has cost 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgehybrid.errors import ExportError
from edgehybrid.exporters.depth.cuts import Crossing, Cut, batch_axis
from edgehybrid.exporters.depth.flow import Flow
from edgehybrid.exporters.depth.parts import Tensor, make_part
from edgehybrid.exporters.model import LAYOUT_OPS, Graph

_REPEATABLE = LAYOUT_OPS | {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Shape", "Size"}
_LEAVE_OUT = "Leave this cut out for this variant."


def slice_chain(graph: Graph, cuts: Sequence[Cut]) -> tuple[Graph, ...]:
    """Cut ``graph`` into ``len(cuts) + 1`` stages that, run one after the other, give what it gives.

    Stage ``i`` gives ``cut<i>_0``, ``cut<i>_1`` and so on, float or integer, and ``exit<i>_<output>`` where the model's
    own exits leave; the last gives the outputs of the model. A stage takes what crosses the cuts before it, and inputs
    of the model where it needs them. A value that crosses two cuts keeps its first name.

    Args:
        graph: The float graph in which the cuts were found, or one made from it.
        cuts: In any order; the stages are in the order of ``Cut.share``.

    Raises:
        ExportError: If a cut is not in this graph, or a stage would compute again what an earlier one has.
    """
    cuts = sorted(cuts, key=lambda cut: cut.share)
    graph, places = _resolve(graph, cuts)
    flow = Flow(graph.proto.graph)
    own = {name for cut in cuts for name in cut.exits}
    finals = [value.name for value in graph.proto.graph.output if value.name not in own]
    names: dict[str, Tensor] = {}
    done: set[int] = set()
    stages = []
    for number, (cut, crossing) in enumerate(zip(cuts, places, strict=True), 1):
        fresh = {p.value: p.tensor(f"cut{number}_{k}", graph) for k, p in enumerate(crossing) if p.value not in names}
        if not fresh:
            raise ExportError(f"Nothing new crosses the cut behind {cut.name!r}.", _LEAVE_OUT)
        leaving = _leaving(graph, cut, finals, number)
        nodes = flow.above([*fresh, *leaving], stop=names)
        _forbid_repeats(flow, nodes & done, cut.name)
        wanted = [*fresh.items(), *leaving.items()]
        stages.append(make_part(graph, flow, nodes, wanted, names, name=f"part-{number}"))
        names |= fresh
        done |= nodes
    nodes = flow.above(finals, stop=names)
    _forbid_repeats(flow, nodes & done, "the last cut")
    wanted = [(value, _final(graph, value)) for value in finals]
    stages.append(make_part(graph, flow, nodes, wanted, names, name=f"part-{len(cuts) + 1}"))
    return tuple(stages)


def crossing_names(cuts: Sequence[Cut]) -> dict[str, str]:
    """What crosses ``cuts``: names in the stages of the float graph in which they were found, to those in the graph."""
    names: dict[str, str] = {}
    for number, cut in enumerate(sorted(cuts, key=lambda cut: cut.share), 1):
        for k, crossing in enumerate(cut.values):
            names.setdefault(crossing.value, f"cut{number}_{k}")
    return {name: value for value, name in names.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A crossing value as it is in one graph."""

    value: str
    crossing: Crossing
    elem_type: int

    def tensor(self, name: str, graph: Graph) -> Tensor:
        """The tensor that a stage gives; its free axis is called as the model calls it."""
        first = self.crossing.shape[0]
        axis = first if isinstance(first, int) else batch_axis(graph)
        return Tensor(name=name, elem_type=self.elem_type, shape=(axis, *self.crossing.shape[1:]))


def _resolve(graph: Graph, cuts: Sequence[Cut]) -> tuple[Graph, list[list[_Place]]]:
    """Find what crosses; equal quantizations of one value become one."""
    places = []
    for cut in cuts:
        found = []
        for crossing in cut.values:
            flow = Flow(graph.proto.graph)
            value = _float_value(flow, _find(flow, crossing, cut.name))
            _check_shape(graph, value, crossing, cut.name)
            twins = _quantizers(flow, value)
            if len(twins) > 1:
                graph = _joined(graph, [flow.graph.node[index] for index in twins])
            if twins:
                node = flow.graph.node[twins[0]]
                found.append(_Place(value=node.output[0], crossing=crossing, elem_type=_integer_type(flow, node)))
            else:
                kind = _known_types(graph).get(value) or _elem_type(crossing.dtype)
                found.append(_Place(value=value, crossing=crossing, elem_type=kind))
        places.append(found)
    return graph, places


def _find(flow: Flow, crossing: Crossing, cut: str) -> str:
    """By the name of its node, by its own, or by who reads it."""
    by_name = {node.name: node for node in flow.graph.node}
    node = by_name.get(crossing.node)
    if node is not None and len(node.output) > crossing.output and node.output[crossing.output]:
        return str(node.output[crossing.output])
    if crossing.value in flow.makers:
        return crossing.value
    for name, place in crossing.readers:
        reader = by_name.get(name)
        if reader is not None and len(reader.input) > place and reader.input[place] in flow.makers:
            return str(reader.input[place])
    raise ExportError(f"The cut behind {cut!r} is not in this variant: {crossing.node!r} is gone.", _LEAVE_OUT)


def _float_value(flow: Flow, value: str) -> str:
    """What a ``DequantizeLinear`` stands for, if ``value`` comes from one."""
    back = flow.graph.node[flow.makers[value]]
    if back.op_type != "DequantizeLinear" or back.input[0] not in flow.makers:
        return value
    quantize = flow.graph.node[flow.makers[back.input[0]]]
    return str(quantize.input[0]) if quantize.op_type == "QuantizeLinear" else value


def _quantizers(flow: Flow, value: str) -> tuple[int, ...]:
    """The nodes that read ``value``, if all of them quantize it, and alike; else none."""
    readers = flow.readers.get(value, ())
    nodes = [flow.graph.node[index] for index in readers]
    if value in flow.outputs or not nodes or any(n.op_type != "QuantizeLinear" or n.input[0] != value for n in nodes):
        return ()
    tensors = {tensor.name: tensor for tensor in flow.graph.initializer}
    kinds = {
        (
            tuple(_content(tensors, name) for name in node.input[1:]),
            tuple(sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)),
        )
        for node in nodes
    }
    return readers if len(kinds) == 1 else ()


def _content(tensors: Mapping[str, onnx.TensorProto], name: str) -> bytes:
    if name not in tensors:
        return name.encode()
    array = numpy_helper.to_array(tensors[name])
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


def _joined(graph: Graph, twins: Sequence[onnx.NodeProto]) -> Graph:
    """Let everybody read the first of ``twins``."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    same = {node.output[0]: twins[0].output[0] for node in twins[1:]}
    gone = {node.name for node in twins[1:]}
    nodes = [node for node in proto.graph.node if node.name not in gone]
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return Graph(proto=proto)


def _integer_type(flow: Flow, quantize: onnx.NodeProto) -> int:
    zero = quantize.input[2] if len(quantize.input) > 2 else ""
    declared = next((a.i for a in quantize.attribute if a.name == "output_dtype"), 0)
    kinds = {tensor.name: tensor.data_type for tensor in flow.graph.initializer}
    return int(declared or kinds.get(zero, onnx.TensorProto.UINT8))


def _elem_type(dtype: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _known_types(graph: Graph) -> dict[str, int]:
    infos = (*graph.proto.graph.value_info, *graph.proto.graph.output)
    return {info.name: info.type.tensor_type.elem_type for info in infos}


def _check_shape(graph: Graph, value: str, crossing: Crossing, cut: str) -> None:
    for info in graph.proto.graph.value_info:
        if info.name == value and info.type.tensor_type.HasField("shape"):
            dims = info.type.tensor_type.shape.dim
            known = [(dim.dim_value, axis) for dim, axis in zip(dims, crossing.shape, strict=False) if dim.dim_value]
            if len(dims) != len(crossing.shape) or any(a != b for a, b in known if isinstance(b, int)):
                raise ExportError(f"What crosses the cut behind {cut!r} has another shape in this variant.", _LEAVE_OUT)


def _leaving(graph: Graph, cut: Cut, finals: Sequence[str], number: int) -> dict[str, Tensor]:
    """The model's own exits that leave at ``cut``, one for each output of the model."""
    made = {value.name: value for value in graph.proto.graph.output}
    if missing := [name for name in cut.exits if name not in made]:
        raise ExportError(f"This variant has no output {missing[0]!r}.", "Make it from the graph with its exits.")
    return {
        name: replace(_final(graph, name), name=f"exit{number}_{final}")
        for name, final in zip(cut.exits, finals, strict=False)
    }


def _final(graph: Graph, name: str) -> Tensor:
    """An output of the model; a free first axis that no input has must be the batch."""
    inputs = graph.proto.graph.input
    named = {dim.dim_param for value in inputs for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    tensor = Tensor.of(next(value for value in graph.proto.graph.output if value.name == name))
    if tensor.shape and not isinstance(tensor.shape[0], int) and tensor.shape[0] not in named:
        return replace(tensor, shape=(batch_axis(graph), *tensor.shape[1:]))
    return tensor


def _forbid_repeats(flow: Flow, repeated: Iterable[int], cut: str) -> None:
    """A stage may compute again what is free or nearly so, and nothing else."""
    for index in repeated:
        node = flow.graph.node[index]
        if node.op_type not in _REPEATABLE and not flow.free.issuperset(node.output):
            raise ExportError(f"In this variant {node.name!r} is needed on both sides of {cut!r}.", _LEAVE_OUT)
