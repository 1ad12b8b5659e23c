"""The rows that heads are fitted on: calibration inputs and mild variations of them, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import Samples
from edgehybrid.exporters.depth import can_vary, count_variations, vary
from edgehybrid.exporters.depth.variations import MOST_ROWS
from edgehybrid.runtime.backends import Session

Array = NDArray[np.generic]
Float64Array = NDArray[np.float64]

_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Calibration inputs, one row at a time; never all in memory. Each pass gives the same rows.

    Attributes:
        samples: Where they come from.
        count: Inputs that are taken.
        variations: Of each input.
        groups: Number of the input behind each row, shape ``(rows,)``; the first row of a group is the input itself.
            A mixture belongs to the input that it is a variation of, though another one is in it too.
        seed: Of the variations.
    """

    samples: Samples
    count: int
    variations: int
    groups: NDArray[np.int64]
    seed: int

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Yield one row after the other, as the model takes them: the inputs of a chunk, then their variations."""
        for number, chunk in enumerate(chunks(self.samples, self.count)):
            yield from chunk
            if not self.variations:
                continue
            together = stacked(chunk, self.samples)
            for turn in range(self.variations):
                varied = vary(together, seed=self.seed + number * self.variations + turn, mixed=turn % 2 == 1)
                yield from apart(varied, self.samples)

    def answers(self, session: Session, output: str) -> Float64Array:
        """What ``session`` gives as ``output`` for every row: shape ``(rows, outputs)``."""
        return np.array([np.asarray(session.run(feeds)[output], dtype=np.float64).reshape(-1) for feeds in self])

    @property
    def inputs(self) -> NDArray[np.int64]:
        """Places of the rows that are inputs, shape ``(count,)``."""
        return np.sort(np.unique(self.groups, return_index=True)[1])


def head_rows(samples: Samples, *, seed: int) -> Rows:
    """Take as many calibration inputs as heads are fitted on, with variations where there are few of them."""
    count = min(samples.count, MOST_ROWS)
    first = stacked(next(chunks(samples, count)), samples)
    variations = count_variations(count) if can_vary(first) else 0
    parts = [np.arange(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    groups = np.concatenate([np.tile(chunk, 1 + variations) for chunk in parts])
    return Rows(samples=samples, count=count, variations=variations, groups=groups, seed=seed)


def chunks(samples: Samples, count: int) -> Iterator[list[dict[str, Array]]]:
    """Yield the first ``count`` samples, some dozen at a time."""
    singles = islice((batch.feeds for batch in samples.batches(1)), count)
    while chunk := list(islice(singles, _CHUNK)):
        yield chunk


def stacked(chunk: Sequence[Mapping[str, Array]], samples: Samples) -> dict[str, Array]:
    """Join single samples along a first axis, which some inputs have and some have not."""
    return {
        name: (np.stack if name in samples.unbatched else np.concatenate)([feeds[name] for feeds in chunk])
        for name in samples.inputs
    }


def apart(together: Mapping[str, Array], samples: Samples) -> Iterator[dict[str, Array]]:
    """Yield the samples of ``stacked`` one by one, as the model takes them."""
    for row in range(len(together[samples.inputs[0]])):
        yield {
            name: np.asarray(array[row] if name in samples.unbatched else array[row : row + 1])
            for name, array in together.items()
        }
