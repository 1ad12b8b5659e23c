"""What each scheme does to each component alone: which graphs to measure, and what the figures say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgehybrid.exporters.measure import Ratio
from edgehybrid.exporters.model import Component, Graph
from edgehybrid.exporters.precision import APPROXIMATE, KIN, SCHEMES, Method, called
from edgehybrid.exporters.search.candidates import PLANS, Plan
from edgehybrid.exporters.search.knapsack import Choice, propose
from edgehybrid.points import REFERENCE

SIZE_WEIGHT = 0.02
"""All the model's bytes are worth so much of its time: enough to choose the smaller of two that are equally fast."""

NO_LOSS_DB = 130.0  # float sums in another order come to that

_STATIC = frozenset({"w8a8", "w8a8-int"})  # what convolutions are in where a mixture is fast
_NEVER = frozenset({"glue", "trees"})
_HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "GRU", "LSTM", "RNN", "Attention"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Measured alone: one scheme on one component, everything else float.

    Attributes:
        component: Its name, or that of a group of its nodes.
        scheme: The scheme.
        speedup: Of the whole model, against the float graph it was made from.
        sqnr_db: Likeness of the whole model's outputs to float, on calibration data.
        size_share: Bytes on disk that it adds, as a share of the float model's; negative where it saves.
        method: How ranges were taken, where the scheme has any.
    """

    component: str
    scheme: str
    speedup: Ratio
    sqnr_db: float
    size_share: float
    method: Method = "minmax"


def alone(
    components: Iterable[Component], methods: Sequence[Method] = ("minmax",), schemes: Sequence[str] = tuple(SCHEMES)
) -> tuple[Plan, ...]:
    """Name the graphs to measure: each of ``schemes`` on each component that has arithmetic, with each calibration.

    A scheme that is another one for the component's family is left to that.
    """
    found = []
    for component in components:
        if component.family in _NEVER:
            continue
        for scheme in schemes:
            make = SCHEMES[scheme]
            if scheme == REFERENCE or called(scheme, component.family) != scheme:
                continue
            for method in methods if make.needs_ranges else methods[:1]:
                mark = "" if method == methods[0] else f".{method}"
                name = f"{component.name}.{scheme}{mark}"
                found.append(Plan(name=name, recipe={component.name: scheme}, method=method))
    return tuple(found)


def choices(measured: Iterable[Sensitivity]) -> tuple[Choice, ...]:
    """Turn figures into costs (share of the float model's time, and a little for bytes) and losses (noise over signal).

    A gain that its own interval does not tell from nothing counts for nothing. A scheme that asks for more likeness to
    float than it reached here is no choice.
    """
    return tuple(
        Choice(
            component=item.component,
            scheme=item.scheme,
            cost=_time_share(item.speedup) + SIZE_WEIGHT * item.size_share,
            loss=0.0 if item.sqnr_db >= NO_LOSS_DB else float(10.0 ** (-item.sqnr_db / 10.0)),
        )
        for item in measured
        if item.scheme not in KIN or item.sqnr_db >= KIN[item.scheme].least_db
    )


def _time_share(gain: Ratio) -> float:
    return 0.0 if gain.low <= 1.0 <= gain.high else 1.0 / gain.median - 1.0


def proposed(measured: Sequence[Sensitivity], count: int) -> tuple[Plan, ...]:
    """Propose up to ``count`` mixtures for each way of calibrating, least loss first: ``mix-1``, ``mix-2``, ...

    And the fixed mixtures with an approximation where that alone was faster than all else, and like enough to float:
    ``...+k2``. A gain of a few per cent that the survey cannot tell from nothing is in them anyway.
    """
    methods = dict.fromkeys(item.method for item in measured)
    found: dict[tuple[object, ...], Plan] = {}
    for method in methods if count else ():
        own = [item for item in measured if item.method == method or not SCHEMES[item.scheme].needs_ranges]
        for mixture in propose(choices(own), count):
            ranged = any(SCHEMES[scheme].needs_ranges for scheme in mixture.recipe.values())
            key = (*mixture.recipe.items(), method if ranged else "")
            found.setdefault(key, Plan(name=f"mix-{len(found) + 1}", recipe=mixture.recipe, method=method))
    return (*found.values(), *_approximated(measured))


def _approximated(measured: Sequence[Sensitivity]) -> list[Plan]:
    table = choices(measured)
    found = []
    for scheme in APPROXIMATE:
        kin = KIN[scheme]
        taken, left = dict[str, str](), float(10.0 ** (-kin.least_db / 10.0))
        for choice in sorted((c for c in table if c.scheme == scheme), key=lambda c: (c.cost, c.component)):
            others = [c.cost for c in table if c.component == choice.component and c.scheme != scheme]
            if choice.cost < min(others, default=0.0) and choice.loss <= left:
                taken[choice.component], left = scheme, left - choice.loss
        exact = {kin.like} | {n for n, other in KIN.items() if other.like == kin.like and n not in APPROXIMATE}
        suffix = scheme.removeprefix(kin.like).lstrip("-")
        bases = [p for p in PLANS if p.recipe.get("convolution") in _STATIC and p.recipe.get(kin.family) in exact]
        if not taken:
            continue
        found += [replace(plan, name=f"{plan.name}+{suffix}", recipe={**plan.recipe, **taken}) for plan in bases]
    return found


def split_large(
    graph: Graph, components: Sequence[Component], share: Mapping[str, float], *, parts: int, above: float = 0.2
) -> tuple[Component, ...]:
    """Cut components that have more than the share ``above`` of the work into up to ``parts`` groups of nodes.

    A group begins at a node with weights and goes to the next; groups are named ``convolution-1.1`` and so on.
    """
    operators = {node.name: node.op_type for node in graph.proto.graph.node}
    found: list[Component] = []
    for component in components:
        heavy = [i for i, node in enumerate(component.nodes) if operators.get(node) in _HEAVY]
        pieces = min(parts, len(heavy))
        if component.family in _NEVER or share.get(component.name, 0.0) <= above or pieces < 2:
            found.append(component)
            continue
        cuts = [0, *(heavy[len(heavy) * k // pieces] for k in range(1, pieces)), len(component.nodes)]
        for k in range(pieces):
            nodes = component.nodes[cuts[k] : cuts[k + 1]]
            found.append(Component(name=f"{component.name}.{k + 1}", family=component.family, nodes=nodes))
    return tuple(found)


def wholes(components: Sequence[Component], pieces: Sequence[Component]) -> dict[str, str]:
    """Name of a group to the component that it is a part of."""
    owner = {node: component.name for component in components for node in component.nodes}
    return {piece.name: owner[piece.nodes[0]] for piece in pieces if piece.nodes}
