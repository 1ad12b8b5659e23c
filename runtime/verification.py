"""Does every variant of a bundle give on this machine what it gave where it was made?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgehybrid.bundle import Bundle, StageInfo, VariantInfo
from edgehybrid.errors import EdgeHybridError
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Goldens, backend_of, load_request, self_test


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
    for stage, variant, backend, points in _placed(bundle):
        check = _check(bundle, stage, variant, backend, points)
        seen(check)
        checks.append(check)
    return tuple(checks)


def _placed(bundle: Bundle) -> Iterator[tuple[StageInfo, VariantInfo, str, tuple[str, ...]]]:
    """Every variant on every back end that it has a place on, and the points that use it there."""
    for stage in bundle.stages:
        for variant in stage.variants:
            users = [point for point in bundle.points if point.variants.get(stage.name) == variant.name]
            places = dict.fromkeys([variant.backend, *(backend_of(point, stage.name, variant) for point in users)])
            for backend in places:
                names = [point.name for point in users if backend_of(point, stage.name, variant) == backend]
                if names or len(places) == 1:
                    yield stage, variant, backend, tuple(names)


def _check(
    bundle: Bundle, stage: StageInfo, variant: VariantInfo, backend: str, points: tuple[str, ...]
) -> VariantCheck:
    problem = None
    request = load_request(bundle, stage, variant)
    try:
        self_test(Goldens(bundle), stage, variant, make_backend(backend).load(request), backend)
    except EdgeHybridError as error:
        problem = error.what
    return VariantCheck(stage=stage.name, variant=variant.name, backend=backend, points=points, problem=problem)
