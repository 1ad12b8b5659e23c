"""Golden vectors, kept in memory where they are small: unpacking them holds the interpreter for a millisecond."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgehybrid.bundle import Bundle, StageInfo, VariantInfo
from edgehybrid.runtime.backends import Array

KEEP_BYTES = 1 << 20
"""Most that is kept of all golden vectors together."""


class Goldens:
    """The golden vectors of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._kept: dict[str, Mapping[str, Array]] = {}
        self._room = KEEP_BYTES

    def inputs(self, stage: StageInfo, variant: VariantInfo) -> Mapping[str, Array]:
        """Golden inputs of ``variant`` of ``stage``; not to be written to."""
        name = variant.golden_inputs_file or stage.golden_file
        return self._find(name, lambda: self._bundle.golden_inputs(stage, variant))

    def outputs(self, variant: VariantInfo) -> Mapping[str, Array]:
        """Golden outputs of ``variant``; not to be written to."""
        return self._find(variant.golden_file, lambda: self._bundle.golden_outputs(variant))

    def _find(self, name: str, read: Callable[[], dict[str, Array]]) -> Mapping[str, Array]:
        if name in self._kept:
            return self._kept[name]
        arrays = read()
        needs = sum(array.nbytes for array in arrays.values())
        if needs <= self._room:
            self._room -= needs
            self._kept[name] = arrays
        return arrays
