"""What the rest of the system sees of data: named inputs, labels, batches; nothing held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edgehybrid.data.fitting import fits_unbatched
from edgehybrid.data.npz import Array, Column
from edgehybrid.errors import DataError, RequestError
from edgehybrid.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some successive samples.

    Attributes:
        start: Index of the first one.
        feeds: Input name to array; first axis = samples, unless the model takes them one by one without such an axis.
        labels: Labels of these samples, first axis = samples; ``None`` without labels.
    """

    start: int
    feeds: dict[str, Array]
    labels: Array | None


class Source(Protocol):
    """Where rows come from."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every array: dtype, shape of a row, number of rows."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of the content, in hex."""
        ...

    def chunks(self, names: tuple[str, ...], *, start: int, size: int) -> Iterator[dict[str, Array]]:
        """Yield rows in order from ``start`` on, at most ``size`` at a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``wanted`` of ``total`` rows, spread evenly; or, when ``inside`` is false, the others."""

    wanted: int
    total: int
    phase: int
    inside: bool

    @property
    def count(self) -> int:
        """Number of rows in this part."""
        return self.wanted if self.inside else self.total - self.wanted

    def mask(self, start: int, rows: int) -> Array:
        """Tell for each of ``rows`` rows from ``start`` on whether it belongs here: bool, shape ``(rows,)``."""
        turn = (np.arange(start, start + rows, dtype=np.int64) + self.phase) % self.total
        chosen = (turn + 1) * self.wanted // self.total > turn * self.wanted // self.total
        return np.asarray(chosen == self.inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples that can be gone through any number of times.

    Attributes:
        source: Where they come from.
        inputs: Names of the arrays that are fed.
        labels_key: Name of the array of labels; ``None`` without.
        part: Which rows; ``None`` for all.
        unbatched: Inputs that the model takes without an axis for samples; known after ``check``.
        largest_batch: Most samples that the model takes at once; ``None`` for any number; known after ``check``.
    """

    source: Source
    inputs: tuple[str, ...]
    labels_key: str | None = None
    part: Part | None = None
    unbatched: frozenset[str] = frozenset()
    largest_batch: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays that are fed."""
        return self.inputs

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.source.columns[self.inputs[0]].rows if self.part is None else self.part.count

    @property
    def has_labels(self) -> bool:
        """Whether each sample has a label."""
        return self.labels_key is not None

    @property
    def unused(self) -> tuple[str, ...]:
        """Arrays that are neither fed nor labels."""
        return tuple(name for name in self.source.columns if name not in (*self.inputs, self.labels_key))

    @property
    def label_dtype(self) -> np.dtype[np.generic] | None:
        """Dtype of the labels; ``None`` without."""
        return None if self.labels_key is None else self.source.columns[self.labels_key].dtype

    @property
    def sha256(self) -> str:
        """Digest of the content and of the part of it that this is, in hex."""
        if self.part is None:
            return self.source.sha256
        return hashlib.sha256(f"{self.source.sha256} {self.part}".encode()).hexdigest()

    def check(self, specs: Sequence[TensorSpec]) -> Samples:
        """Return the samples narrowed to the inputs ``specs``, after checking that they fit.

        Raises:
            DataError: An input is missing, or has another dtype or shape; no value is ever cast silently.
        """
        columns = self.source.columns
        if missing := [spec for spec in specs if spec.name not in self.inputs]:
            wanted = ", ".join(spec.describe() for spec in missing)
            raise DataError(
                f"The data has no array for {wanted}; it has {list(self.inputs)}.",
                "Save one array per model input, under the input's name.",
            )
        unbatched = frozenset(spec.name for spec in specs if fits_unbatched(spec, columns[spec.name]))
        one_by_one = unbatched or any(spec.shape[:1] == (1,) for spec in specs)
        return replace(
            self,
            inputs=tuple(spec.name for spec in specs),
            unbatched=unbatched,
            largest_batch=1 if one_by_one else None,
        )

    def batches(self, size: int = 1, *, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Yield samples ``start`` to ``stop`` in order, ``size`` at a time; the last batch may be shorter.

        Raises:
            RequestError: The model takes fewer at once.
            DataError: An input holds NaN or infinity (names the sample), or the data is damaged.
        """
        if size < 1:
            raise RequestError(f"A batch of {size} is none.", "Ask for at least one sample.")
        if self.largest_batch is not None and size > self.largest_batch:
            fix = f"Ask for {self.largest_batch} at a time."
            raise RequestError(f"A batch of {size} does not fit the model's inputs.", fix)
        end = self.count if stop is None else min(stop, self.count)
        names = self.inputs if self.labels_key is None else (*self.inputs, self.labels_key)
        at = start
        for rows in _regrouped(self._pieces(names, start, end, size), size):
            labels = rows.pop(self.labels_key) if self.labels_key is not None else None
            length = len(rows[self.inputs[0]])
            yield Batch(start=at, feeds=self._as_fed(rows), labels=labels)
            at += length

    def _as_fed(self, rows: dict[str, Array]) -> dict[str, Array]:
        return {name: np.asarray(array[0]) if name in self.unbatched else array for name, array in rows.items()}

    def _pieces(self, names: tuple[str, ...], start: int, end: int, size: int) -> Iterator[dict[str, Array]]:
        """Rows ``start`` to ``end`` of this part, in pieces of any length up to ``size``."""
        row = 0 if self.part is not None else start  # row in the source
        seen = row  # row in this part
        if start >= end:
            return
        for piece in self.source.chunks(names, start=row, size=size):
            length = len(piece[names[0]])
            indices = np.arange(row, row + length)
            if self.part is not None:
                indices = indices[self.part.mask(row, length)]
            wanted = indices[max(start - seen, 0) : max(end - seen, 0)]
            seen, chosen = seen + len(indices), wanted - row
            if len(wanted):
                rows = {name: array[chosen] for name, array in piece.items()}
                _refuse_non_finite(rows, wanted)
                yield rows
            if seen >= end:
                return
            row += length


def split(samples: Samples, *, calibration: int | float, seed: int = 0) -> tuple[Samples, Samples]:
    """Split into rows to calibrate with and rows to evaluate with, interleaved, so that a sorted file does no harm.

    Args:
        samples: All of them; not itself a part.
        calibration: How many rows (int), or which share of them (float, 0 to 1), go to calibration.
        seed: Where the pattern starts.

    Raises:
        RequestError: One side would be empty, or ``samples`` is a part already.
    """
    if samples.part is not None:
        raise RequestError("These samples are a part of others already.", "Split the whole.")
    total = samples.count
    wanted = round(calibration * total) if isinstance(calibration, float) else calibration
    if total == 1:
        raise RequestError("One sample cannot both calibrate and evaluate.", "Give at least two, or evaluation data.")
    if not 0 < wanted < total:
        raise RequestError(
            f"{calibration} of {total} samples for calibration leaves one side empty.",
            f"Give more samples, or leave 1 to {total - 1} of them to calibration.",
        )
    phase = int(np.random.default_rng(seed).integers(total))
    inside, outside = (Part(wanted=wanted, total=total, phase=phase, inside=side) for side in (True, False))
    return replace(samples, part=inside), replace(samples, part=outside)


def _regrouped(pieces: Iterator[dict[str, Array]], size: int) -> Iterator[dict[str, Array]]:
    """Join pieces (each of at most ``size`` rows) into groups of ``size``; never holds more than two groups."""
    held: list[dict[str, Array]] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(next(iter(piece.values())))
        if length >= size:
            rows = _joined(held)
            yield {name: array[:size] for name, array in rows.items()}
            length -= size
            held = [{name: array[size:] for name, array in rows.items()}] if length else []
    if length:
        yield _joined(held)


def _joined(pieces: list[dict[str, Array]]) -> dict[str, Array]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _refuse_non_finite(rows: Mapping[str, Array], indices: Array) -> None:
    for name, array in rows.items():
        if array.dtype.kind in "fc" and not (finite := np.isfinite(array.reshape(len(array), -1)).all(axis=1)).all():
            raise DataError(
                f"Sample {int(indices[np.argmin(finite)])} of {name!r} holds NaN or infinity.",
                "Leave such samples out, or replace the value: np.nan_to_num(x).",
            )
