"""The gate: every file, in the engine that will run it, against the float model in ONNX Runtime; it fails closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import EdgeHybridError, ModelError
from edgehybrid.exporters.measure import largest_difference, sqnr_db
from edgehybrid.runtime.backends import LoadRequest, Session, TfliteBackend

Array = NDArray[Any]
Feeds = Mapping[str, Array]

FLOAT_PARITY = 1e-4
"""Largest difference of a float file from ONNX Runtime, as a share of the range of the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How near a file comes.

    Attributes:
        difference: Largest over all outputs and inputs, as a share of the output's range.
        sqnr_db: Mean signal to noise, in dB.
    """

    difference: float
    sqnr_db: float


def measure_parity(
    session: Session, reference: Callable[[Feeds], Mapping[str, Array]], rows: Sequence[Feeds]
) -> Parity:
    """Run both on every input."""
    worst, noise = 0.0, []
    for feeds in rows:
        outputs, expected = session.run(feeds), reference(feeds)
        for name, array in expected.items():
            got = outputs.get(name)
            if got is None or got.dtype != array.dtype:
                return Parity(difference=float("inf"), sqnr_db=-150.0)
            reach = float(np.abs(np.nan_to_num(array.astype(np.float64))).max(initial=0.0)) or 1.0
            worst = max(worst, largest_difference(got, array) / reach)
        noise.append(sqnr_db(outputs, expected))
    return Parity(difference=worst, sqnr_db=float(np.mean(noise)))


def require_parity(
    request: LoadRequest,
    reference: Callable[[Feeds], Mapping[str, Array]],
    rows: Sequence[Feeds],
    least_db: float | None = None,
) -> Parity:
    """Load a file as the device will, and refuse it unless it computes what the float model computes.

    Args:
        request: How the bundle will have it loaded.
        reference: The float model.
        rows: Inputs; also of several rows, where the model takes them.
        least_db: Signal to noise of a quantized file; ``None``: a float file, which must be within ``FLOAT_PARITY``.

    Raises:
        ModelError: It does not load, or computes something else.
    """
    if not rows:
        raise ModelError(
            f"TFLite: there is no input to check {request.model_file.stem} with.", "Give calibration data."
        )
    try:
        found = measure_parity(TfliteBackend().load(request), reference, rows)
    except EdgeHybridError as error:
        what = error.what.replace(str(request.model_file), "the file")  # a temporary one
        raise ModelError(f"TFLite {request.model_file.stem}: {what}", error.fix) from error
    fix = "Its variant stays in ONNX; report the model."
    if least_db is None and not found.difference <= FLOAT_PARITY:
        raise ModelError(f"TFLite: the float file differs by {found.difference:.2g} of the output's range.", fix)
    if least_db is not None and not found.sqnr_db >= least_db:
        raise ModelError(f"TFLite: {found.sqnr_db:.1f} dB beside float; below {least_db:g} it is garbage.", fix)
    return found
