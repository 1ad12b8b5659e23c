"""Exits that the model was trained with: outputs of its own that leave early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth.cuts import LARGEST_SHARE, MOST_VALUES, Cut, crossing, default_costs, rows_of
from edgehybrid.exporters.depth.flow import Flow
from edgehybrid.exporters.depth.parts import Tensor, make_part
from edgehybrid.exporters.model import Component, Graph, locate, trace
from edgehybrid.exporters.rewrites import Probes


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedExits:
    """Exits of the model's own.

    Attributes:
        main: The model without them: what the user's contract is from now on.
        cuts: Where they leave, shallowest first, one exit each. ``slice_chain`` of the whole graph, or of one made from
            it with all its outputs, gives ``exit<i>_<output>`` at each.
    """

    main: Graph
    cuts: tuple[Cut, ...]


def named_exits(
    graph: Graph,
    components: Sequence[Component],
    probes: Probes,
    names: Sequence[str],
    *,
    costs: Mapping[str, float] | None = None,
) -> NamedExits:
    """Find the stage that each of the outputs ``names`` needs, and what crosses to the rest.

    Args:
        graph: A float graph with all its outputs.
        components: Components of the user's graph.
        probes: Inputs of two batch lengths; of one sample each where the batch is no free axis.
        names: Outputs that answer in place of the only other one, in any order.
        costs: Node to cost, as for ``find_cuts``.

    Raises:
        RequestError: One of them is no output, answers something else, needs the whole model, or rows cannot leave it.
    """
    flow = Flow(graph.proto.graph)
    final = _final(flow, names)
    if not probes:
        raise RequestError("Without inputs of two batch lengths no exit can be cut.", "Use --exits none.")
    _check_answers(graph, probes, names, final)
    weights = dict(costs) if costs is not None else default_costs(graph, probes.first)
    owners = locate(graph, components)
    left = sorted(dict.fromkeys(names), key=lambda name: _cost(flow, flow.above([name]), weights))
    everything = flow.above([final, *names])
    total = _cost(flow, everything, weights) or 1.0
    before: frozenset[int] = frozenset()
    crossed: set[str] = set()
    cuts = []
    for number, name in enumerate(left):
        before |= flow.above([name])
        share = _cost(flow, before, weights) / total
        if share > LARGEST_SHARE:
            raise RequestError(f"The exit {name!r} needs {share:.0%} of the model.", "Leave it out of --exits.")
        values = _live(flow, before, everything, {final, *left[number + 1 :]})
        if not set(values) - crossed:
            raise RequestError(f"The exit {name!r} leaves where another one does.", "Name only one of the two.")
        crossed |= set(values)
        cuts.append(_cut(graph, flow, probes, name, values, share, owners))
    return NamedExits(main=without_outputs(graph, names), cuts=tuple(cuts))


def without_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """Take outputs away, with all that only they need; the inputs stay.

    Raises:
        RequestError: One of them is no output, or none is left.
    """
    flow = Flow(graph.proto.graph)
    _check_names(flow, names)
    kept = [Tensor.of(value) for value in graph.proto.graph.output if value.name not in names]
    nodes = flow.above([tensor.name for tensor in kept])
    return make_part(graph, flow, nodes, [(tensor.name, tensor) for tensor in kept], {}, name="main", keep_inputs=True)


def _check_names(flow: Flow, names: Sequence[str]) -> None:
    have = [value.name for value in flow.graph.output]
    if unknown := [name for name in names if name not in have]:
        raise RequestError(f"The model has no output {unknown[0]!r}.", f"Its outputs: {', '.join(have)}.")
    if set(names) >= set(have):
        raise RequestError("Were all outputs exits, the model would have none.", "Leave out the final one.")


def _final(flow: Flow, names: Sequence[str]) -> str:
    """The one output that the exits stand in for."""
    _check_names(flow, names)
    rest = [value.name for value in flow.graph.output if value.name not in names]
    if len(rest) > 1:
        raise RequestError(
            f"Besides its exits the model has {len(rest)} outputs: {', '.join(rest)}.",
            "Name every output but the final one, or export the model with one.",
        )
    return str(rest[0])


def _check_answers(graph: Graph, probes: Probes, names: Sequence[str], final: str) -> None:
    seen = trace(graph, probes.first, [final, *names])
    want = np.asarray(seen[final])
    for name in names:
        array = np.asarray(seen[name])
        if array.shape != want.shape or array.dtype != want.dtype:
            raise RequestError(
                f"The exit {name!r} gives {array.dtype} {list(array.shape[1:])} for each input, "
                f"{final!r} {want.dtype} {list(want.shape[1:])}.",
                "An exit answers in the place of the final output, and so in its form; leave it out of --exits.",
            )


def _cost(flow: Flow, nodes: frozenset[int], costs: Mapping[str, float]) -> float:
    paid = (flow.graph.node[index] for index in nodes)
    return sum(costs.get(node.name, 0.0) for node in paid if not flow.free.issuperset(node.output))


def _live(flow: Flow, before: frozenset[int], everything: frozenset[int], later: set[str]) -> tuple[str, ...]:
    """Values made in ``before`` that the rest reads, or that are to be given ``later``."""
    made = [name for index in sorted(before) for name in flow.graph.node[index].output if name]
    rest = everything - before
    return tuple(
        name
        for name in made
        if name not in flow.free and (name in later or any(index in rest for index in flow.readers.get(name, ())))
    )


def _cut(
    graph: Graph,
    flow: Flow,
    probes: Probes,
    name: str,
    values: Sequence[str],
    share: float,
    owners: Mapping[str, Component],
) -> Cut:
    if len(values) > MOST_VALUES:
        raise RequestError(
            f"Behind the exit {name!r} {len(values)} values would cross, and {MOST_VALUES} may.",
            "Leave it out of --exits.",
        )
    rows = rows_of(graph, probes, values)
    if rows.whys:
        value, why = next(iter(rows.whys.items()))
        raise RequestError(f"Rows cannot leave at {name!r}: of {value!r}, {why}.", "Leave it out of --exits.")
    node = flow.graph.node[flow.makers[values[-1]]].name
    return Cut(
        name=node,
        component=owners[node].name if node in owners else "",
        values=tuple(crossing(flow, value, rows) for value in values),
        share=share,
        exits=(name,),
    )
