"""Every error we raise, as one tree: what happened, then the fix.

EdgeHybridError
├── ModelError        a model file that cannot be used
├── DataError         calibration, evaluation or run-time inputs that do not fit
├── OutputError       a place that cannot be written
├── BundleError       a bundle that is damaged, incomplete or too new
├── BackendError      an inference engine that cannot load or run a variant
├── ProfileError      a device profile or policy that does not validate
├── ScenarioError     a scenario or a trace to simulate that does not validate
├── RequestError      an argument that names something that is not there
├── ExportError       an export that found nothing worth shipping, or broke its own promise
└── MissingExtraError an optional part that is not installed
"""

from __future__ import annotations


class EdgeHybridError(Exception):
    """Base of every error we raise: what happened, then the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)  # both in args, so it survives a process boundary
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}"


class ModelError(EdgeHybridError):
    """A model file is missing, damaged, not ONNX, or uses what the runtime lacks."""


class DataError(EdgeHybridError):
    """Samples lack an input, or have a wrong shape, dtype, length or value."""


class OutputError(EdgeHybridError):
    """An output place exists already, cannot be written, or is full."""


class BundleError(EdgeHybridError):
    """A bundle is damaged, incomplete, unsafe to read, or of a newer schema."""


class BackendError(EdgeHybridError):
    """An inference engine could not load or run a variant."""


class ProfileError(EdgeHybridError):
    """A device profile or a policy does not validate."""


class ScenarioError(EdgeHybridError):
    """A scenario, or a trace that it names, cannot be read or does not validate."""


class RequestError(EdgeHybridError):
    """An argument names something that is not there, or cannot be."""


class ExportError(EdgeHybridError):
    """An export found nothing worth shipping, or a written file failed its own check."""


class MissingExtraError(EdgeHybridError):
    """An optional part is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed.", f"Run: pip install 'edgehybrid[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)
