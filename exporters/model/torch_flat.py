"""A PyTorch model as a function of tensors in a row, in the order in which its ONNX graph has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgehybrid.errors import ModelError
from edgehybrid.exporters.model.torch_source import PT2, open_factory, open_program, quiet_torch


def flat_module(source: str, inputs: Sequence[str], outputs: Sequence[int], count: int) -> Any:
    """Open a PyTorch model as a ``torch.nn.Module`` that takes tensors by place, and gives a tuple of tensors.

    Args:
        source: Path of a ``.pt2`` file, or ``module:factory``.
        inputs: Inputs of the ONNX graph that was made of it, in their order: that of the new module's.
        outputs: Which of the tensors that the model gives are wanted, in the order of the ONNX graph.
        count: How many tensors the ONNX graph gives.

    Raises:
        ModelError: It cannot be opened.
        RequestError: There is no such factory, or it returns something else.
    """
    import torch
    from torch.utils import _pytree

    with quiet_torch():
        call = _program_call(source) if source.endswith(PT2) else _factory_call(source, inputs)

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.training = call.module, False  # not eval(), which exported programs refuse

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            leaves = _pytree.tree_leaves(call.on(tensors))
            given = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
            if len(given) != count:
                what = f"{source} gives {len(given)} tensors where its ONNX graph has {count} outputs."
                raise ModelError(what, "Return each tensor once.")
            return tuple(given[index] for index in outputs)

    return Flat()


class _Call:
    """A module, and how it is called with tensors in a row."""

    def __init__(self, module: Any, on: Callable[[tuple[Any, ...]], Any]) -> None:
        self.module, self.on = module, on


def _factory_call(source: str, inputs: Sequence[str]) -> _Call:
    module, _, named = open_factory(source)
    if not named:
        return _Call(module, lambda tensors: module(*tensors))
    names = list(inputs) if set(inputs) == set(named) else list(named)  # the exporter may rename; it keeps the order
    return _Call(module, lambda tensors: module(**dict(zip(names, tensors, strict=True))))


def _program_call(source: str) -> _Call:
    """A program is called as it was exported; what was no tensor there is a constant."""
    from torch.export.graph_signature import ConstantArgument, InputKind
    from torch.utils import _pytree

    program = open_program(source).run_decompositions({})  # functional: its own constants could not be traced anew
    module, spec = program.module(), program.call_spec.in_spec
    user = [item.arg for item in program.graph_signature.input_specs if item.kind is InputKind.USER_INPUT]

    def on(tensors: tuple[Any, ...]) -> Any:
        rest = iter(tensors)
        leaves = [arg.value if isinstance(arg, ConstantArgument) else next(rest) for arg in user]
        args, named = _pytree.tree_unflatten(leaves, spec)
        return module(*args, **named)

    return _Call(module, on)
