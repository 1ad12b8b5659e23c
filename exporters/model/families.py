"""Families and components: what each region of a graph is.

Attention is found by its structure (a softmax between two products, with the projections around it), because
exporters write it as a dozen small nodes; everything else by its operators.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgehybrid.bundle import Family
from edgehybrid.exporters.model.graph import LAYOUT_OPS, Graph, constant

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "FusedConv", "ConvInteger", "QLinearConv", "NhwcFusedConv"})
RECURRENT = frozenset({"GRU", "LSTM", "RNN", "DynamicQuantizeLSTM"})
PRODUCTS = frozenset({"MatMul", "Gemm", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "FusedGemm"})
ATTENTIONS = frozenset({"Attention", "MultiHeadAttention", "QAttention", "GroupQueryAttention"})
_ELEMENTWISE = frozenset(
    [
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "Softsign",
        "Mish",
        "Gelu",
        "Erf",
        "Swish",
        "Mul",
        "Add",
        "Sub",
        "Div",
        "Pow",
        "Dropout",
        "Identity",
        "QuickGelu",
        "FastGelu",
        "BiasGelu",
        "ThresholdedRelu",
    ]
)
_BESIDE_CONVOLUTION = _ELEMENTWISE | frozenset(
    [
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "LpPool",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Pad",
        "Concat",
        "Resize",
        "Upsample",
        "DepthToSpace",
        "SpaceToDepth",
    ]
)
_INSIDE_SCORES = LAYOUT_OPS | frozenset({"Mul", "Div", "Add", "Where", "Dropout", "Sub", "Max"})
_BEFORE_SCORES = LAYOUT_OPS | frozenset({"Mul", "Div", "Add", "Dropout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A connected region of one family; ``nodes`` are node names in the graph's order."""

    name: str
    family: Family
    nodes: tuple[str, ...]


def find_components(graph: Graph) -> tuple[Component, ...]:
    """Split ``graph`` into components; every node is in exactly one, in the order of their first nodes."""
    inner = graph.edit().graph
    families = _families(inner)
    groups = _regions(inner, families)
    counts: dict[Family, int] = defaultdict(int)
    components = []
    for nodes in groups:
        family = families[nodes[0]]
        counts[family] += 1
        names = tuple(str(node.name) for node in nodes)
        components.append(Component(name=f"{family}-{counts[family]}", family=family, nodes=names))
    return tuple(components)


def locate(graph: Graph, components: Iterable[Component]) -> Mapping[str, Component]:
    """Find the component of every node of a rewritten ``graph``.

    Rewrites keep the name of the node they replace; a node with a new name belongs where its first producer does.
    """
    known = {node: component for component in components for node in component.nodes}
    by_name: dict[str, Component] = {}
    for node in graph.edit().graph:
        component = known.get(str(node.name))
        if component is None:
            producers = (value.producer() for value in node.inputs if value is not None)
            near = (by_name.get(str(producer.name)) for producer in producers if producer is not None)
            component = next((found for found in near if found is not None), None)
        if component is not None:
            by_name[str(node.name)] = component
    return by_name


def _families(graph: ir.Graph) -> dict[ir.Node, Family]:
    families: dict[ir.Node, Family] = {}
    for node in graph:
        if node.op_type == "Softmax":
            for part in attention_nodes(node):
                families[part] = "attention"
    for node in graph:
        if node not in families:
            families[node] = _by_operator(node, families)
    for node in reversed(list(graph)):  # weights computed in the graph belong to who uses them
        if families[node] == "glue" and _constant_only(node):
            users = {families.get(user, "glue") for output in node.outputs for user, _ in output.uses()}
            if len(users) == 1:
                families[node] = users.pop()
    return families


def _by_operator(node: ir.Node, families: Mapping[ir.Node, Family]) -> Family:
    if node.op_type in CONVOLUTIONS:
        return "convolution"
    if node.op_type in RECURRENT:
        return "recurrent"
    if node.op_type in ATTENTIONS:
        return "attention"
    if node.op_type.startswith("TreeEnsemble"):
        return "trees"
    if node.op_type in PRODUCTS:
        return "dense"
    if held := bodies_of(node):
        return _by_bodies(node, held)
    producers = {"glue" if producer is None else families.get(producer, "glue") for producer in _data_producers(node)}
    if producers == {"convolution"} and node.op_type in _BESIDE_CONVOLUTION:
        return "convolution"
    if producers == {"dense"} and node.op_type in _ELEMENTWISE:
        return "dense"
    return "glue"


def bodies_of(node: ir.Node) -> tuple[ir.Graph, ...]:
    """Graphs inside ``node``: branches of ``If``, bodies of ``Loop`` and ``Scan``."""
    return tuple(a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH)


def _by_bodies(node: ir.Node, held: Iterable[ir.Graph]) -> Family:
    """What most of the nodes inside are; a loop that carries a state through a product is recurrent."""
    inside = Counter(family for body in held for family in _families(body).values() if family != "glue")
    states = len(node.inputs) - 2
    if node.op_type == "Scan":
        states = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
    if node.op_type in ("Loop", "Scan") and states > 0 and inside.keys() & {"dense", "convolution"}:
        return "recurrent"
    return inside.most_common(1)[0][0] if inside else "glue"


def _data_producers(node: ir.Node) -> list[ir.Node | None]:
    """Producers of the inputs that carry data; ``None`` stands for an input of the graph."""
    return [value.producer() for value in node.inputs if value is not None and not _is_fixed(value)]


def _is_fixed(value: ir.Value) -> bool:
    producer = value.producer()
    return constant(value) is not None or (producer is not None and _constant_only(producer))


def _constant_only(node: ir.Node, depth: int = 12) -> bool:
    if depth == 0:
        return False
    for value in node.inputs:
        if value is None or constant(value) is not None:
            continue
        producer = value.producer()
        if producer is None or not _constant_only(producer, depth - 1):
            return False
    return node.op_type not in ("RandomNormal", "RandomUniform") and not any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()
    )


def attention_nodes(softmax: ir.Node) -> set[ir.Node]:
    """Collect the attention block around ``softmax``; empty if it is no attention."""
    middle: set[ir.Node] = {softmax}
    scores = _climb(softmax.inputs[0], _INSIDE_SCORES, middle)
    context = _descend(softmax.outputs[0], LAYOUT_OPS | {"Dropout"}, middle)
    if scores is None or context is None or not _is_product(scores) or not _is_product(context):
        return set()
    if constant(scores.inputs[1]) is not None or constant(context.inputs[1]) is not None:
        return set()
    middle |= {scores, context}
    values = next((value for value in context.inputs if value is not None and value.producer() not in middle), None)
    for operand in (*scores.inputs[:2], values):
        before: set[ir.Node] = set()
        projection = _climb(operand, _BEFORE_SCORES, before)
        middle |= before
        if projection is not None and _is_projection(projection):
            middle.add(projection)
    after: set[ir.Node] = set()
    projection = _descend(context.outputs[0], LAYOUT_OPS, after)
    middle |= after
    if projection is not None and _is_projection(projection):
        middle.add(projection)
        bias = _only_user(projection.outputs[0])
        if bias is not None and bias.op_type == "Add" and any(constant(value) is not None for value in bias.inputs):
            middle.add(bias)
    return middle


def _is_product(node: ir.Node) -> bool:
    return node.op_type in ("MatMul", "FusedMatMul", "Einsum")


def _is_projection(node: ir.Node) -> bool:
    return node.op_type in PRODUCTS and len(node.inputs) > 1 and _is_fixed_or_none(node.inputs[1])


def _is_fixed_or_none(value: ir.Value | None) -> bool:
    return value is None or _is_fixed(value)


def _climb(value: ir.Value | None, through: frozenset[str], path: set[ir.Node]) -> ir.Node | None:
    """Follow the data upwards through ``through``, adding to ``path``; return the first other node."""
    while value is not None:
        node = value.producer()
        if node is None or node.op_type not in through:
            return node
        path.add(node)
        data = [item for item in node.inputs if item is not None and not _is_fixed(item)]
        if not data:
            return None
        value = data[0]
    return None


def _descend(value: ir.Value, through: frozenset[str] | set[str], path: set[ir.Node]) -> ir.Node | None:
    while True:
        node = _only_user(value)
        if node is None or node.op_type not in through:
            return node
        path.add(node)
        value = node.outputs[0]


def _only_user(value: ir.Value) -> ir.Node | None:
    users = [user for user, _ in value.uses() if user.op_type != "Shape"]
    return users[0] if len(users) == 1 else None


def _regions(graph: ir.Graph, families: Mapping[ir.Node, Family]) -> list[list[ir.Node]]:
    """Join neighbours of one family (union-find); regions in the order of their first nodes."""
    parent: dict[ir.Node, ir.Node] = {node: node for node in graph}

    def root(node: ir.Node) -> ir.Node:
        while parent[node] is not node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node in graph:
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer in parent and families[producer] == families[node]:
                parent[root(node)] = root(producer)
    groups: dict[ir.Node, list[ir.Node]] = defaultdict(list)
    for node in graph:
        groups[root(node)].append(node)
    return list(groups.values())
