"""PyTorch models: exported programs (``.pt2``) and ``module:factory``, turned into ONNX in a temporary folder."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

from edgehybrid.errors import MissingExtraError, ModelError, RequestError
from edgehybrid.functions import load_function, names_function

PT2 = ".pt2"
_BATCHED = 2  # torch takes a batch of one for a constant
_RAISED = (  # what torch, its unpickler and the user's module raise has no common base
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)
_FACTORY = "Let the factory return (module, example inputs): a torch.nn.Module and a tuple or a dict of tensors."


def is_torch(source: str) -> bool:
    """Tell whether ``source`` names a PyTorch model: a ``.pt2`` file, or ``module:factory``."""
    return source.endswith(PT2) or (names_function(source) and not Path(source).exists())


def torch_name(source: str) -> str:
    """Name of the model: the file's, or the factory's."""
    return Path(source).stem if source.endswith(PT2) else source.rpartition(":")[2].rpartition(".")[2]


def torch_bytes(source: str) -> bytes:
    """Convert ``source`` to ONNX.

    The first axis of every input of a factory's module is free, where the module allows it; a program keeps the free
    axes that it was exported with.

    Args:
        source: Path of a ``.pt2`` file made by ``torch.export.save``, or ``module:factory``: a function that takes
            nothing and returns a ``torch.nn.Module`` with its example inputs.

    Returns:
        The ONNX file, weights inside.

    Raises:
        MissingExtraError: If PyTorch is not installed.
        ModelError: If that is no model, or one that cannot be converted.
        RequestError: If there is no such factory.
    """
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "torch")
    with quiet_torch():
        if source.endswith(PT2):
            return _converted(source, open_program(source), {})
        module, args, named = open_factory(source)
        return _of_module(source, module, args, named)


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Hold back what torch warns about itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def open_program(source: str) -> Any:
    """Load an exported program.

    Raises:
        ModelError: There is no such file, or it is something else.
    """
    import torch

    path = Path(source)
    if not path.is_file():
        raise ModelError(f"There is no model file {path}.", "Check the path.")
    try:
        return torch.export.load(path)
    except _RAISED as error:
        what = f"{path} is no exported program of PyTorch: {_first_line(error)}."
        raise ModelError(what, "Make it with torch.export.save(torch.export.export(model, inputs), path).") from error


def open_factory(source: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Call a factory, and its module on the example inputs.

    Returns:
        The module, ready to infer; its inputs by place; and by name: one of both is empty.

    Raises:
        ModelError: The module does not run.
        RequestError: There is no such factory, or it returns something else.
    """
    import torch

    made = load_function(source)()
    if not (isinstance(made, tuple) and len(made) == 2):
        raise RequestError(f"{source} returned a {type(made).__name__}.", _FACTORY)
    module, inputs = made
    if not isinstance(module, torch.nn.Module):
        raise RequestError(f"{source} returned a {type(module).__name__} where a module belongs.", _FACTORY)
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    named = inputs if isinstance(inputs, Mapping) else {}
    args = () if named else inputs
    tensors = list(named.values()) if named else args
    if not (isinstance(args, tuple) and tensors and all(isinstance(tensor, torch.Tensor) for tensor in tensors)):
        raise RequestError(f"The example inputs of {source} are no tensors, but a {type(inputs).__name__}.", _FACTORY)
    module.eval()
    try:
        with torch.no_grad():
            module(*args, **named)
    except _RAISED as error:
        what = f"The module of {source} does not run on its example inputs: {_first_line(error)}."
        raise ModelError(what, "Check the shapes, the dtypes and the number of the example inputs.") from error
    return module, args, dict(named)


def _of_module(source: str, module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> bytes:
    """Convert with a free batch; where the module fixes its batch, with the example's own."""
    many = tuple(_batched(tensor) for tensor in args)
    many_named = {name: _batched(tensor) for name, tensor in named.items()}
    free = _free(many, many_named)
    try:
        return _converted(source, module, {"args": many, "kwargs": many_named, "dynamic_shapes": free})
    except ModelError:
        return _converted(source, module, {"args": args, "kwargs": named})


def _batched(tensor: Any) -> Any:
    return tensor.expand(_BATCHED, *tensor.shape[1:]).clone() if tensor.dim() and tensor.shape[0] == 1 else tensor


def _free(args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    from torch.export import Dim

    batch = Dim("batch")
    axes = tuple({0: batch} if tensor.dim() else {} for tensor in args)
    return {name: {0: batch} if tensor.dim() else {} for name, tensor in named.items()} if named else axes


def _converted(source: str, model: Any, options: dict[str, Any]) -> bytes:
    import torch

    if find_spec("onnxscript") is None:
        raise MissingExtraError("onnxscript", "torch")
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        path = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(model, f=str(path), dynamo=True, external_data=False, verbose=False, **options)
        except _RAISED as error:
            what = f"PyTorch cannot convert {source} to ONNX: {_reason(error)}."
            raise ModelError(
                what, "Replace that operation by one that ONNX has, or export the model yourself."
            ) from error
        return path.read_bytes()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _reason(error: BaseException) -> str:
    """The innermost reason: torch wraps it in reports of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)
