"""What a tensor must look like at a border: its name, dtype and shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a model or a stage."""

    name: str
    dtype: str  # numpy's name: "float32", "int64", "uint8", ...
    shape: tuple[int | str, ...]  # a string names a free axis: ("batch", 96, 40)

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of ``shape`` fits; free axes take any length of at least one."""
        return len(shape) == len(self.shape) and all(
            n >= 1 if isinstance(want, str) else n == want for n, want in zip(shape, self.shape, strict=True)
        )

    def describe(self) -> str:
        """Say it as a person would: ``x: float32[batch, 96, 40]``."""
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"
