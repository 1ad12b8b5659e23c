"""``open_data``: from what the user typed to samples."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from edgehybrid.data.npz import NpzSource
from edgehybrid.data.reader import ReaderSource
from edgehybrid.data.samples import Samples
from edgehybrid.errors import DataError
from edgehybrid.functions import names_function

DEFAULT_LABELS = "labels"  # looked for without being named, so that its absence is no error


def require_labels(samples: Samples, key: str) -> None:
    """Refuse data without the labels that somebody named.

    Raises:
        DataError: There is no array ``key``, and it is not the default.
    """
    if key != DEFAULT_LABELS and not samples.has_labels:
        others = f"Beside the inputs it has {', '.join(samples.unused) or 'nothing'}"
        raise DataError(f"The data has no array {key!r} of labels.", f"{others}; name another, or none.")


def open_data(spec: str | PathLike[str], *, labels_key: str | None = DEFAULT_LABELS) -> Samples:
    """Open samples without reading them into memory.

    Args:
        spec: Path of an ``.npz`` with one array per model input (first axis = samples) and perhaps labels; or
            ``module:function``, called for each pass, that yields dicts of arrays (first axis = samples) or returns
            an object with ``get_next()``, as ONNX Runtime's ``CalibrationDataReader``.
        labels_key: Name of the array of labels; it is no input. ``None``: there are none.

    Raises:
        RequestError: The function cannot be imported.
        DataError: It does not exist, is damaged, holds pickled objects, has no samples or arrays of different length.
    """
    text = fspath(spec)
    source: NpzSource | ReaderSource
    if names_function(text) and not Path(text).exists():
        source = ReaderSource.open(text, labels_key=labels_key)
    else:
        source = NpzSource.open(Path(text))
    names = tuple(name for name in source.columns if name != labels_key)
    lengths = {name: column.rows for name, column in source.columns.items()}
    if not names:
        raise DataError(f"{text} holds no array for an input.", "Save one array per model input, named as the input.")
    if len(set(lengths.values())) != 1:
        raise DataError(
            f"The arrays in {text} have different lengths: {lengths}.",
            "The first axis of every array is the samples; give each the same number.",
        )
    if lengths[names[0]] == 0:
        raise DataError(f"{text} has zero samples.", "Give at least one.")
    return Samples(source=source, inputs=names, labels_key=labels_key if labels_key in source.columns else None)
