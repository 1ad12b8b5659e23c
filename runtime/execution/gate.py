"""The gate: an input that barely differs from the last computed one gets its answer again.

It is compared with the last input that was *computed*, not with the last one seen: a slow change adds up until it is
large enough, and the model runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle, GateInfo
from edgehybrid.profiles import GatePolicy
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.dial import Dial, Setting
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.traces import Trace

MOST_VALUES = 4096
"""Of a larger input so many values are compared, evenly spread: an image is told from the next one by far fewer."""

Sketch = Mapping[str, NDArray[np.float32]]
Signature = tuple[tuple[str, tuple[int, ...], str], ...]


def gate_distance(a: Mapping[str, Array], b: Mapping[str, Array], scales: Mapping[str, float]) -> float:
    """Return the distance of two inputs: over the inputs of the model, the largest ``mean(|a - b|) / scale``.

    Args:
        a: Input name to array, of numbers.
        b: The same shapes.
        scales: Input name to its typical deviation.

    Returns:
        At least 0; NaN where an input holds what is not a number. Calibrate and run with this very function: of large
        inputs it looks at every n-th value only.
    """
    return sketch_distance(sketch(a, scales), sketch(b, scales), scales)


def sketch(feeds: Mapping[str, Array], names: Iterable[str]) -> Sketch:
    """Return what is compared of an input: float32 vectors of at most some thousand values; of itself, the same."""
    return {name: _thin(feeds[name]) for name in names}


def sketch_distance(a: Sketch, b: Sketch, scales: Mapping[str, float]) -> float:
    """Return the same from what ``gate_distance`` looks at."""
    worst = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for name, scale in scales.items():
            mean = float(np.abs(a[name] - b[name]).mean())
            apart = mean / scale if scale > 0 else float("inf") if mean > 0 else mean
            if not apart <= worst:  # NaN stays
                worst = apart
            if worst != worst:
                break
    return worst


def _thin(array: Array) -> NDArray[np.float32]:
    """Take the values that are compared, as a copy; the step is odd, so that it falls on every row and channel."""
    step = (array.size // MOST_VALUES) | 1
    return array.reshape(-1)[::step].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """An input that is computed.

    Attributes:
        signature: Names, shapes and dtypes.
        sketch: What is compared of it.
        rank: Place among the points of the one that answers, 0 the best.
        at_s: When it came.
    """

    signature: Signature
    sketch: Sketch
    rank: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer that may be given again.

    Attributes:
        question: Its input.
        outputs: Copies of the outputs.
        scalar: Exit scalar of the exit that gave it; ``None`` for the full model.
    """

    question: _Question
    outputs: Mapping[str, Array]
    scalar: float | None

    def serves(self, rank: int, setting: Setting, point: str) -> bool:
        """Whether it is as good as what would be computed now: of no worse point, of no exit that would not do."""
        if self.question.rank > rank:
            return False
        if self.scalar is None:
            return True
        return setting.scalar is not None and self.scalar <= setting.scalar and setting.share(point) < 1.0


class Gate:
    """Remembers the last computed input and its answer: one reference, so that runs from several threads may share it.

    Args:
        info: Scales and threshold, from the bundle; a scale for every input of the model.
        points: Names of the points, best quality first.
        dial: Where exits stand.
        clock: Monotonic clock, in seconds.
        max_age_s: Oldest answer that is given again.
    """

    def __init__(
        self, info: GateInfo, points: Sequence[str], dial: Dial, clock: Callable[[], float], *, max_age_s: float
    ) -> None:
        self._scales, self._threshold, self._max_age_s = dict(info.scales), info.threshold, max_age_s
        self._ranks = {name: rank for rank, name in enumerate(points)}
        self._dial, self._clock = dial, clock
        self._held: _Answer | None = None

    def trace(self, plan: Plan, feeds: Mapping[str, Array]) -> Trace:
        """Give the last answer again, at depth 0, if it still holds for ``feeds``; else run ``plan``, and remember.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed, or the plan was closed.
        """
        answer, question = self._look(plan, feeds)
        if answer is not None:
            return answer
        trace = plan.trace(feeds)
        self._remember(question, trace)
        return trace

    def steps(self, plan: Plan, feeds: Mapping[str, Array]) -> Generator[None, None, Trace]:
        """Do the same, and stop after every stage of the plan; inputs under way are not answers yet."""
        answer, question = self._look(plan, feeds)
        if answer is not None:
            return answer
        trace = yield from plan.steps(feeds)
        self._remember(question, trace)
        return trace

    def _look(self, plan: Plan, feeds: Mapping[str, Array]) -> tuple[Trace | None, _Question | None]:
        """Return the last answer where it holds; else what is to be remembered with the new one, if it can be."""
        point, setting, now_s = plan.point.name, self._dial.setting, self._clock()
        rank, signature = self._ranks[point], self._signature(feeds)
        if signature is None or not plan.stages:
            return None, None
        looks = sketch(feeds, self._scales)
        held = self._held
        if (
            held is not None
            and held.question.signature == signature
            and 0 <= now_s - held.question.at_s <= self._max_age_s
            and held.serves(rank, setting, point)
            and sketch_distance(looks, held.question.sketch, self._scales) <= self._threshold
        ):
            return (_copies(held.outputs), 0, None, None), None
        return None, _Question(signature=signature, sketch=looks, rank=rank, at_s=now_s)

    def _remember(self, question: _Question | None, trace: Trace) -> None:
        """Keep an answer, unless that of a later input is here already."""
        held = self._held
        if question is None or (held is not None and held.question.at_s > question.at_s):
            return
        outputs, _, confidence, seen = trace
        self._held = _Answer(
            question=question,
            outputs=_copies(outputs),
            scalar=None if confidence is None or seen is None else seen[0].setting.scalar,
        )

    def _signature(self, feeds: object) -> Signature | None:
        """Names, shapes and dtypes of a single input; ``None`` for batches, and for what is not comparable."""
        if not isinstance(feeds, Mapping) or feeds.keys() != self._scales.keys():
            return None
        found = []
        for name in self._scales:
            array = feeds[name]
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or array.shape[:1] not in ((), (1,)):
                return None
            found.append((name, array.shape, array.dtype.str))
        return tuple(found)


def make_gate(bundle: Bundle, policy: GatePolicy, dial: Dial, clock: Callable[[], float]) -> Gate | None:
    """Return the gate if the policy wants it and the bundle says of every input how much it may differ."""
    info = bundle.doc.gate
    if not policy.enabled or info is None or info.scales.keys() != {spec.name for spec in bundle.doc.model.inputs}:
        return None
    return Gate(info, [point.name for point in bundle.points], dial, clock, max_age_s=policy.max_age_s)


def _copies(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in outputs.items()}
