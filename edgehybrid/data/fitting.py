"""Whether an array fits an input; when not, the line of numpy that makes it fit."""

from __future__ import annotations

from itertools import permutations

from edgehybrid.data.npz import Column
from edgehybrid.errors import DataError
from edgehybrid.tensors import TensorSpec


def fits_unbatched(spec: TensorSpec, column: Column) -> bool:
    """Tell whether one row is a whole input (true), or the input has an axis for samples (false).

    Raises:
        DataError: The dtype differs, or the shape fits neither way.
    """
    if column.dtype.name != spec.dtype or not column.dtype.isnative:
        raise DataError(
            f"{spec.name!r} is {column.dtype} in the data, the model takes {spec.describe()}.",
            f"Save {spec.name}.astype(np.{spec.dtype}); it is not cast silently, as that could change results.",
        )
    if spec.shape and (isinstance(spec.shape[0], str) or spec.shape[0] == 1) and _fits(spec.shape[1:], column.row):
        return False
    if _fits(spec.shape, column.row):
        return True
    given = ", ".join(map(str, ("samples", *column.row)))
    raise DataError(f"{spec.name!r} is [{given}] in the data, the model takes {spec.describe()}.", _hint(spec, column))


def _fits(want: tuple[int | str, ...], have: tuple[int, ...]) -> bool:
    return TensorSpec(name="", dtype="", shape=want).accepts(have)


def _hint(spec: TensorSpec, column: Column) -> str:
    """The numpy line that would make it fit, if there is one: axes in another order, one axis missing or too many."""
    name, want, have = spec.name, spec.shape[1:], column.row
    if spec.shape and _fits(want, have):
        return (
            f"The model takes {spec.shape[0]} samples at once: export it with a free first axis, "
            f"or save {name}.reshape{(-1, spec.shape[0], *have)}."
        )
    if len(have) == len(want) and len(have) <= 5:
        for order in permutations(range(len(have))):
            if _fits(want, tuple(have[axis] for axis in order)):
                return f"The axes seem to be in another order; save {name}.transpose{(0, *(i + 1 for i in order))}."
    for axis in range(len(have) + 1):
        if _fits(want, (*have[:axis], 1, *have[axis:])):
            return f"An axis of length 1 is missing; save np.expand_dims({name}, {axis + 1})."
    for axis, length in enumerate(have):
        if length == 1 and _fits(want, have[:axis] + have[axis + 1 :]):
            return f"There is an axis too many; save {name}.squeeze({axis + 1})."
    return "The first axis is the samples; the others must be those of the model's input after its first."
