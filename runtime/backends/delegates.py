"""LiteRT's delegates as back ends: one visible table. XNNPACK is built in, and part of the back end ``tflite``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgehybrid.runtime.backends.tflite_engine import missing_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """One delegate that comes as a shared library.

    Attributes:
        key: Key that placements name.
        title: What people call it.
        library: File name that the system's loader finds.
        source: What brings it, for whoever lacks it.
        options: From threads to the delegate's options.
    """

    key: str
    title: str
    library: str
    source: str
    options: Callable[[int], Mapping[str, str]] = lambda _: {}


DELEGATES: Mapping[str, Delegate] = {
    delegate.key: delegate
    for delegate in (
        Delegate(
            key="tflite-edgetpu",
            title="Edge TPU",
            library="libedgetpu.so.1",
            source="apt install libedgetpu1-std (Coral); its files come from edgetpu_compiler",
        ),
        Delegate(
            key="tflite-gpu",
            title="GPU",
            library="libtensorflowlite_gpu_delegate.so",
            source="a build of the TFLite GPU delegate for this board",
        ),
        Delegate(
            key="tflite-armnn",
            title="Arm NN",
            library="libarmnnDelegate.so",
            source="apt install libarmnn-delegate, or Arm NN's releases",
            options=lambda _: {"backends": "GpuAcc,CpuAcc"},
        ),
        Delegate(
            key="tflite-ethosu",
            title="Ethos-U",
            library="libethosu_delegate.so",
            source="the vendor's image of the board (NXP i.MX 93)",
        ),
        Delegate(
            key="tflite-vx",
            title="VX",
            library="libvx_delegate.so",
            source="the vendor's image of the board (NXP i.MX 8M Plus, Amlogic)",
        ),
    )
}
"""Back ends by key. NNAPI is Android's own and has no library for Python; there it is ``onnx-nnapi``."""


def missing_delegate(delegate: Delegate) -> str | None:
    """Say why a delegate cannot be used here; ``None`` when it can. Its device is opened only by a load."""
    if reason := missing_engine():
        return reason
    try:
        ctypes.CDLL(delegate.library)
    except OSError:
        return f"{delegate.library} is not installed; it comes with {delegate.source}"
    return None


def open_delegate(module: Any, delegate: Delegate, threads: int) -> Any:
    """Open a delegate: an engine's ``load_delegate`` raises ``ValueError`` where its device does not answer."""
    return module.load_delegate(delegate.library, dict(delegate.options(threads)))
