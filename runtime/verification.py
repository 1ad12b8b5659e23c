"""Does every variant of a bundle give on this machine what it gave where it was made?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgehybrid.bundle import Bundle, StageInfo, VariantInfo
from edgehybrid.errors import EdgeHybridError
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Goldens, load_request, self_test


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCheck:
    """One variant's replay of its golden vectors; ``problem`` is ``None`` when it passed."""

    stage: str
    variant: str
    backend: str
    points: tuple[str, ...]  # points that use it
    problem: str | None = None


def verify(bundle: Bundle, *, seen: Callable[[VariantCheck], None] = lambda _: None) -> tuple[VariantCheck, ...]:
    """Load every variant, replay its golden vectors, and say which ones fail. The digests were checked by ``open``.

    Args:
        bundle: An opened bundle.
        seen: Told of every check as it is made.
    """
    checks = []
    for stage, variant in _variants(bundle):
        check = _check(bundle, stage, variant)
        seen(check)
        checks.append(check)
    return tuple(checks)


def _variants(bundle: Bundle) -> Iterator[tuple[StageInfo, VariantInfo]]:
    for stage in bundle.stages:
        for variant in stage.variants:
            yield stage, variant


def _check(bundle: Bundle, stage: StageInfo, variant: VariantInfo) -> VariantCheck:
    problem = None
    request = load_request(bundle, stage, variant)
    try:
        self_test(Goldens(bundle), stage, variant, make_backend(variant.backend).load(request))
    except EdgeHybridError as error:
        problem = error.what
    return VariantCheck(
        stage=stage.name,
        variant=variant.name,
        backend=variant.backend,
        points=tuple(p.name for p in bundle.points if p.variants.get(stage.name) == variant.name),
        problem=problem,
    )
