"""What an export needs before it tries anything: model, data, metric, target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import Samples, open_data, require_labels, split
from edgehybrid.errors import DataError, ModelError
from edgehybrid.exporters.depth import named_exits, without_outputs
from edgehybrid.exporters.looking import look_through
from edgehybrid.exporters.model import (
    Component,
    Graph,
    Model,
    ModelReport,
    describe,
    find_components,
    free_axes,
    load_model,
    synthetic_feeds,
    trace,
)
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.rewrites import Probes
from edgehybrid.profiles import DeviceProfile, detect_device, load_device
from edgehybrid.quality import Metric, choose_metric

_PROBE_LENGTHS = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Checked inputs of an export; ``with_exits`` is the graph with the outputs that were named as exits."""

    model: Model
    components: tuple[Component, ...]
    report: ModelReport
    calibration: Samples
    evaluation: Samples
    metric: Metric
    device: DeviceProfile
    probes: Probes
    with_exits: Graph | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of the model without its exits."""
        return tuple(spec.name for spec in self.model.outputs)


def prepare(
    model: str | PathLike[str], data: str | PathLike[str], eval_data: str | PathLike[str] | None, options: ExportOptions
) -> Prepared:
    """Load and check everything, so that nothing is found wrong after minutes of work.

    Raises:
        ModelError: The model cannot be used.
        DataError: The data does not fit it.
        ProfileError: The device profile does not validate.
        RequestError: An option does not fit.
    """
    loaded = load_model(str(model), options.shape)
    own = () if isinstance(options.exits, str) else options.exits
    with_exits = loaded.graph if own else None
    loaded = _without_exits(loaded, own) if own else loaded
    device = detect_device() if options.device is None else load_device(options.device)
    everything = open_data(data, labels_key=options.labels_key).check(loaded.inputs)
    if eval_data is None:
        calibration, evaluation = split(everything, calibration=options.calibration, seed=options.seed)
    else:
        calibration = everything
        evaluation = open_data(eval_data, labels_key=options.labels_key).check(loaded.inputs)
    metric = choose_metric(
        options.metric,
        outputs=loaded.outputs,
        has_labels=evaluation.has_labels,
        label_dtype=evaluation.label_dtype,
    )
    require_labels(evaluation, options.labels_key)
    _try_data(loaded, calibration)
    for _ in calibration_batches(calibration):  # NaN is found now, not after minutes
        pass
    look_through(evaluation, metric, loaded.outputs[0], asked=options.metric is not None)
    components = find_components(loaded.graph)
    probes = _probes(loaded, calibration)
    if with_exits is not None:
        named_exits(with_exits, components, probes, own)  # says now what is wrong with them
    return Prepared(
        model=loaded,
        components=components,
        report=describe(loaded, components=components),
        calibration=calibration,
        evaluation=evaluation,
        metric=metric,
        device=device,
        probes=probes,
        with_exits=with_exits,
    )


def _without_exits(model: Model, names: Sequence[str]) -> Model:
    """The model whose answers are those of full depth: what the user's contract is from now on."""
    kept = tuple(spec for spec in model.outputs if spec.name not in names)
    return replace(model, graph=without_outputs(model.graph, names), outputs=kept)


def first_feeds(samples: Samples, count: int, size: int = 1) -> tuple[dict[str, NDArray[np.generic]], ...]:
    """The first ``count`` batches of ``size`` samples."""
    return tuple(batch.feeds for batch in islice(samples.batches(size), count))


def calibration_batches(samples: Samples, size: int = 8) -> Iterator[dict[str, NDArray[np.generic]]]:
    """All samples, as many at a time as the model takes, at most ``size``."""
    for batch in samples.batches(min(size, samples.largest_batch or size)):
        yield batch.feeds


def _try_data(model: Model, samples: Samples) -> None:
    feeds = first_feeds(samples, 1)[0]
    try:
        trace(model.graph, feeds, [output.name for output in model.outputs])
    except ModelError as error:
        raise DataError(
            f"The model does not run on the first sample: {error.what}", "Check the shapes of the arrays."
        ) from error


def _probes(model: Model, samples: Samples) -> Probes:
    """Two batches of different length from the data; two samples where nothing is free; none where more is."""
    if not free_axes(model.inputs):
        found = first_feeds(samples, 2)
        return Probes(first=found[0], second=found[-1])
    fixed_rest = all(isinstance(axis, int) for spec in model.inputs for axis in spec.shape[1:])
    if samples.largest_batch is not None or not fixed_rest:
        return Probes()
    batches: list[dict[str, NDArray[np.generic]]] = []
    for size in _PROBE_LENGTHS:
        batch = first_feeds(samples, 1, size)[0] if samples.count >= size else None
        feeds = batch or synthetic_feeds(model.inputs, size)
        try:
            trace(model.graph, feeds, [output.name for output in model.outputs])
        except ModelError:
            return Probes()  # the batch is no free axis after all
        batches.append(feeds)
    return Probes(first=batches[0], second=batches[1])
