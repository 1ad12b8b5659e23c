"""Run a graph on made-up inputs: to see its shapes, and whether ONNX Runtime takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgehybrid.errors import ModelError
from edgehybrid.exporters.model.errors import ORT_ERRORS
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]


def free_axes(specs: Iterable[TensorSpec]) -> tuple[str, ...]:
    """Names of the axes whose length the caller chooses, in order, each once."""
    return tuple(dict.fromkeys(axis for spec in specs for axis in spec.shape if isinstance(axis, str)))


def synthetic_feeds(
    specs: Iterable[TensorSpec], lengths: Mapping[str, int] | int = 1, seed: int = 0
) -> dict[str, Array]:
    """Make inputs: normal noise for floats, zeros for the rest; ``lengths`` says how long the free axes are."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for spec in specs:
        shape = tuple(
            axis if isinstance(axis, int) else (lengths if isinstance(lengths, int) else lengths.get(axis, 1))
            for axis in spec.shape
        )
        dtype = np.dtype(spec.dtype)
        values = rng.standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)
        feeds[spec.name] = values.astype(dtype)
    return feeds


def open_session(
    proto: onnx.ModelProto | bytes,
    *,
    optimize: bool = True,
    profile_prefix: str | None = None,
    save_to: str | None = None,
) -> ort.InferenceSession:
    """Open one graph with one thread and no spinning.

    Args:
        proto: The graph.
        optimize: Whether ONNX Runtime may fuse.
        profile_prefix: Where its profile goes, if one is wanted.
        save_to: Where the graph goes that it made by fusing, if that is wanted.

    Raises:
        ModelError: If ONNX Runtime refuses it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    if save_to is not None:
        options.optimized_model_filepath = save_to
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        raise ModelError(f"ONNX Runtime refuses the graph: {error}.", "Report the model: a pass broke it.") from error


def trace(
    graph: Graph,
    feeds: Mapping[str, Array],
    names: Iterable[str] | None = None,
    cuts: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Run ``graph`` without optimization and return intermediate values by name.

    Args:
        graph: The graph to run.
        feeds: Its inputs.
        names: Values wanted; all of them by default.
        cuts: Values to put in the place of those that the graph computes.

    Raises:
        ModelError: If these inputs do not fit the graph.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    made = {name for node in proto.graph.node for name in node.output if name}
    wanted = [name for name in (made if names is None else names) if name in made]
    if not wanted:
        return {}
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    _cut(proto, cuts or {})
    session = open_session(proto, optimize=False)
    try:
        return dict(zip(wanted, session.run(wanted, {**feeds, **(cuts or {})}), strict=True))
    except ORT_ERRORS as error:
        raise ModelError(
            f"The model does not run on inputs of the shapes it declares: {error}.", "Fix its shapes with --shape."
        ) from error


def _cut(proto: onnx.ModelProto, cuts: Mapping[str, Array]) -> None:
    """Make each value in ``cuts`` an input; the node that computed it computes for nobody."""
    for node in proto.graph.node:
        for index, name in enumerate(node.output):
            if name in cuts:
                node.output[index] = f"{name}__cut"
    for name, array in cuts.items():
        dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        proto.graph.input.append(onnx.helper.make_tensor_value_info(name, dtype, array.shape))
    if cuts:
        kept = [info for info in proto.graph.value_info if info.name not in cuts]
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(kept)
