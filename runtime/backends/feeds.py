"""Inputs at the border: the check of a run's feeds, with a message that says how to mend them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgehybrid.errors import DataError
from edgehybrid.tensors import TensorSpec


def check_feeds(specs: Sequence[TensorSpec], feeds: object) -> None:
    """Check that ``feeds`` holds exactly the inputs in ``specs``, each with its dtype and a fitting shape.

    Raises:
        DataError: The first thing that does not fit.
    """
    wanted = ", ".join(spec.describe() for spec in specs)
    if not isinstance(feeds, Mapping):
        raise DataError(f"The inputs came as {type(feeds).__name__}, not as a mapping.", f"Pass a dict with {wanted}.")
    known = {spec.name for spec in specs}
    if extra := sorted(str(name) for name in feeds if name not in known):
        raise DataError(f"The model has no input {', '.join(map(repr, extra))}.", f"Pass only {wanted}.")
    for spec in specs:
        if spec.name not in feeds:
            raise DataError(f"Input {spec.name!r} is missing.", f"Pass {wanted}.")
        _check_one(spec, feeds[spec.name])


def _check_one(spec: TensorSpec, value: object) -> None:
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"Input {spec.name!r} is a {type(value).__name__}, not a numpy array.",
            f"Pass {spec.describe()}: np.asarray(value, dtype={spec.dtype!r}).",
        )
    if value.dtype != np.dtype(spec.dtype):
        raise DataError(
            f"Input {spec.name!r} is {value.dtype.str if not value.dtype.isnative else value.dtype}, "
            f"the model takes {spec.dtype}.",
            f"Convert it: {spec.name}.astype({spec.dtype!r}).",
        )
    if not spec.accepts(value.shape):
        got = f"[{', '.join(map(str, value.shape))}]"
        missing_batch = len(value.shape) + 1 == len(spec.shape) and spec.accepts((1, *value.shape))
        fix = f"Add the batch axis: {spec.name}[None]." if missing_batch else f"Pass {spec.describe()}."
        raise DataError(f"Input {spec.name!r} has shape {got}, which does not fit {spec.describe()}.", fix)
