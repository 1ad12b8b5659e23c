"""Samples from a function: ``module:function`` that yields dicts, or returns a reader with ``get_next()``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgehybrid.data.npz import Array, Column
from edgehybrid.errors import DataError
from edgehybrid.functions import load_function

_FIRST_AXIS = "The first axis of every array is the samples: give x[None] for one sample."
_SAME = "Every item must have the same arrays, with the same dtype and shape."
_NEW_READER = "Let the function return a new reader each time it is called."


@dataclass(frozen=True, slots=True)
class ReaderSource:
    """Dicts of arrays, each with the samples along its first axis, as ONNX Runtime's ``CalibrationDataReader`` gives.

    ``make`` is called once for each pass. One pass at the start counts the samples and digests them.
    """

    spec: str
    make: Callable[[], object]
    labels_key: str | None
    columns: Mapping[str, Column]
    sha256: str

    @classmethod
    def open(cls, spec: str, *, labels_key: str | None) -> ReaderSource:
        """Import ``spec`` and go through it once.

        Raises:
            RequestError: It cannot be imported.
            DataError: It gives something else than dicts of arrays that are alike.
        """
        make = load_function(spec)
        digest = hashlib.sha256()
        columns: dict[str, Column] = {}
        for number, feed in enumerate(_feeds(make(), spec, labels_key)):
            if number and set(columns) != set(feed):
                raise DataError(f"Item {number} of {spec} has {sorted(feed)}, not {sorted(columns)}.", _SAME)
            for name, array in sorted(feed.items()):
                columns[name] = _grown(columns.get(name), array, f"{name!r} in item {number} of {spec}")
                digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
                digest.update(array.tobytes())
        return cls(spec, make, labels_key, columns, digest.hexdigest())

    def chunks(self, names: tuple[str, ...], *, start: int, size: int) -> Iterator[dict[str, Array]]:
        """Yield what the function gives from row ``start`` on, in pieces of at most ``size`` rows."""
        seen, total = 0, self.columns[names[0]].rows
        for feed in _feeds(self.make(), self.spec, self.labels_key):
            if missing := set(names) - set(feed):
                raise DataError(f"{self.spec} gave {sorted(missing)} the first time, and not now.", _NEW_READER)
            rows = len(feed[names[0]])
            for first in range(max(start - seen, 0), rows, size):
                yield {name: feed[name][first : first + size] for name in names}
            seen += rows
        if seen != total:
            raise DataError(f"{self.spec} gave {total} samples the first time and {seen} now.", _NEW_READER)


def _feeds(reader: object, spec: str, labels_key: str | None) -> Iterator[dict[str, Array]]:
    get_next = getattr(reader, "get_next", None)
    items: Iterable[object]
    if get_next is not None:
        items = iter(get_next, None)
    elif isinstance(reader, Iterable):
        items = reader
    else:
        fix = "It must yield dicts of arrays, or return an object with get_next()."
        raise DataError(f"{spec} returned a {type(reader).__name__}.", fix)
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            fix = "It must yield dicts: input name to array."
            raise DataError(f"Item {number} of {spec} is a {type(item).__name__}, not a dict.", fix)
        yield _checked({str(k): np.asarray(v) for k, v in item.items()}, f"item {number} of {spec}", labels_key)


def _checked(feed: dict[str, Array], where: str, labels_key: str | None) -> dict[str, Array]:
    if labels_key in feed and not feed[labels_key].shape:
        feed[labels_key] = feed[labels_key].reshape(1)
    for name, array in feed.items():
        if array.dtype.hasobject:
            raise DataError(f"{name!r} in {where} holds Python objects.", "Give arrays of numbers.")
        if not array.shape:
            raise DataError(f"{name!r} in {where} is a single number.", _FIRST_AXIS)
    if not feed:
        raise DataError(f"The dict in {where} is empty.", _SAME)
    lengths = {name: len(array) for name, array in feed.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"The arrays in {where} have different lengths: {lengths}.", _FIRST_AXIS)
    return feed


def _grown(before: Column | None, array: Array, where: str) -> Column:
    now = Column(dtype=array.dtype, row=array.shape[1:], rows=len(array))
    if before is None:
        return now
    if (before.dtype, before.row) != (now.dtype, now.row):
        what = f"{where} is {now.dtype}{list(now.row)} per sample, an earlier one {before.dtype}{list(before.row)}."
        raise DataError(what[0].upper() + what[1:], _SAME)
    return replace(before, rows=before.rows + now.rows)
