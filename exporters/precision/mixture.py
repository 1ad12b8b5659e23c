"""Mixtures: a scheme for each component, applied one after the other, with a word on what stayed as it was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgehybrid.bundle import Family, Untouched
from edgehybrid.errors import RequestError
from edgehybrid.exporters.model import Component, Graph, locate
from edgehybrid.exporters.precision.blocks import Blocks4, Blocks8
from edgehybrid.exporters.precision.fp16 import StoredFloat16
from edgehybrid.exporters.precision.fp32 import Float32
from edgehybrid.exporters.precision.scheme import Scheme, Setting
from edgehybrid.exporters.precision.w8_dyn import DynamicInt8
from edgehybrid.exporters.precision.w8_dyn_attention import CoarseKeys, SeparateProjections
from edgehybrid.exporters.precision.w8_storage import StoredInt8
from edgehybrid.exporters.precision.w8a8 import StaticInt8
from edgehybrid.exporters.precision.w8a8_int import IntegersThroughout

SCHEMES: Mapping[str, type[Scheme]] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            Float32,
            StaticInt8,
            IntegersThroughout,
            DynamicInt8,
            SeparateProjections,
            CoarseKeys,
            Blocks8,
            Blocks4,
            StoredInt8,
            StoredFloat16,
        )
    }
)
"""Every precision scheme by name, in the order in which a mixture applies them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """A scheme that is another one, ``like``, but for one family.

    Attributes:
        family: Where it differs.
        like: What it is elsewhere.
        least_db: Likeness to float under which it is not tried further: it approximates more than numbers, so that a
            few hundred samples that happen to come out right would not vouch for it.
    """

    family: Family
    like: str
    least_db: float = -math.inf


KIN: Mapping[str, Kin] = MappingProxyType(
    {
        "w8a8-int": Kin(family="convolution", like="w8a8"),
        "w8-dyn-mha": Kin(family="attention", like="w8-dyn"),
        "w8-dyn-k2": Kin(family="attention", like="w8-dyn", least_db=20.0),
    }
)
"""Kinship of schemes, by name."""

APPROXIMATE = tuple(name for name, kin in KIN.items() if kin.least_db > 0.0)
"""Schemes that approximate more than numbers: chosen by their likeness to float only."""

IN_FLOATS = frozenset({Float32.name, StoredInt8.name, StoredFloat16.name})
"""Schemes that compute in floats, whatever lies on disk."""


def called(scheme: str, family: Family) -> str:
    """What ``scheme`` is called for ``family``: by the name of the one that it is like there."""
    kin = KIN.get(scheme)
    return scheme if kin is None or kin.family == family else kin.like


_NO_SCHEME = {
    "trees": "tree thresholds are exact: rounding one moves decisions",
    "glue": "it computes nothing that integers would speed up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A graph in mixed precision; ``schemes`` says what each component really is in."""

    graph: Graph
    schemes: Mapping[str, str]
    untouched: tuple[Untouched, ...]


def quantize(graph: Graph, components: tuple[Component, ...], recipe: Mapping[str, str], setting: Setting) -> Quantized:
    """Apply ``recipe`` to ``graph``.

    Args:
        graph: The float graph, perhaps rewritten.
        components: Components of the user's graph; rewritten nodes find theirs by name.
        recipe: Component name, or family, to scheme; the name counts more. What is not named stays float.
        setting: Target and ranges.

    Raises:
        RequestError: The recipe names a scheme that does not exist.
    """
    wanted = {c.name: recipe.get(c.name, recipe.get(c.family, Float32.name)) for c in components}
    if unknown := sorted(set(wanted.values()) - set(SCHEMES)):
        raise RequestError(f"There is no precision scheme {unknown[0]!r}.", f"Choose from: {', '.join(SCHEMES)}.")
    where = locate(graph, components)
    whys: dict[str, list[str]] = defaultdict(list)
    reached: dict[str, str] = {}
    for name, make in SCHEMES.items():
        nodes = frozenset(node for node, component in where.items() if wanted[component.name] == name)
        if not nodes or name == Float32.name:
            continue
        result = make()(graph, nodes, setting)
        graph = result.graph
        for node in result.touched:
            reached[where[node].name] = name
        for skip in result.skipped:
            whys[where[skip.where].name].append(skip.why)
    schemes = {c.name: reached.get(c.name, Float32.name) for c in components}
    untouched = tuple(
        Untouched(component=c.name, scheme=wanted[c.name], reason=_reason(c, whys[c.name]))
        for c in components
        if wanted[c.name] != schemes[c.name] and c.family != "glue"
    )
    return Quantized(graph=graph, schemes=schemes, untouched=untouched)


def _reason(component: Component, whys: list[str]) -> str:
    if component.family in _NO_SCHEME:
        return _NO_SCHEME[component.family]
    return "; ".join(dict.fromkeys(whys)) or "none of its nodes has such a form"
