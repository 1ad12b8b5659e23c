"""ONNX Runtime's execution providers as back ends: one visible table, and how each is found and told its threads."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgehybrid.runtime.backends.assignment import CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One execution provider.

    Attributes:
        key: Key that placements name.
        title: What people call it.
        ep: What ONNX Runtime calls it.
        source: What brings it, for whoever lacks it.
        plugin: Module of a package that brings it as a library to register beside any ONNX Runtime; empty: only a
            build of ONNX Runtime brings it.
        device: Metadata that its device must show, of those that a plug-in offers.
        options: From threads to the provider's options.
        compiles: Whether it takes whole pieces of a graph; else single nodes.
    """

    key: str
    title: str
    ep: str
    source: str
    plugin: str = ""
    device: Mapping[str, str] = field(default_factory=dict)
    options: Callable[[int], Mapping[str, str]] = lambda _: {}
    compiles: bool = True


def _openvino(device: str) -> Callable[[int], Mapping[str, str]]:
    def options(threads: int) -> Mapping[str, str]:
        # In float32: where the CPU has bfloat16, OpenVINO computes in it by itself (1e-2 off, *measured*).
        config: dict[str, str] = {"INFERENCE_PRECISION_HINT": "f32"}
        if device == "CPU":
            config |= {"INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": "1"}
        return {"load_config": json.dumps({device: config})}

    return options


def _openvino_row(key: str, device: str) -> Provider:
    return Provider(
        key=key,
        title=f"OpenVINO {device}",
        ep="OpenVINOExecutionProvider",
        source="pip install 'edgehybrid[openvino]' (x86-64 Linux)",
        plugin="onnxruntime_ep_openvino",
        device={"ov_device": device},
        options=_openvino(device),
    )


CPU_PROVIDER = Provider(
    key="onnx", title=CPU, ep="CPUExecutionProvider", source="pip install onnxruntime", compiles=False
)

PROVIDERS: Mapping[str, Provider] = {
    provider.key: provider
    for provider in (
        _openvino_row("onnx-openvino", "CPU"),
        _openvino_row("onnx-openvino-gpu", "GPU"),
        _openvino_row("onnx-openvino-npu", "NPU"),
        Provider(
            key="onnx-xnnpack",
            title="XNNPACK",
            ep="XnnpackExecutionProvider",
            source="an ONNX Runtime that was built with --use_xnnpack",
            options=lambda threads: {"intra_op_num_threads": str(threads)},
            compiles=False,
        ),
        Provider(
            key="onnx-nnapi",
            title="NNAPI",
            ep="NnapiExecutionProvider",
            source="ONNX Runtime for Android",
        ),
        Provider(
            key="onnx-qnn",
            title="QNN",
            ep="QNNExecutionProvider",
            source="pip install onnxruntime-qnn (Qualcomm)",
            plugin="onnxruntime_qnn",
        ),
        Provider(
            key="onnx-cuda",
            title="CUDA",
            ep="CUDAExecutionProvider",
            source="pip install onnxruntime-gpu, in the place of onnxruntime",
            compiles=False,
        ),
        Provider(
            key="onnx-tensorrt",
            title="TensorRT",
            ep="TensorrtExecutionProvider",
            source="pip install onnxruntime-gpu, and TensorRT",
        ),
        Provider(
            key="onnx-webgpu",
            title="WebGPU",
            ep="WebGpuExecutionProvider",
            source="pip install onnxruntime-ep-webgpu, and a Vulkan driver",
            plugin="onnxruntime_ep_webgpu",
            compiles=False,
        ),
        Provider(
            key="onnx-coreml",
            title="CoreML",
            ep="CoreMLExecutionProvider",
            source="ONNX Runtime for macOS",
        ),
        Provider(
            key="onnx-hailo",
            title="Hailo",
            ep="HailoExecutionProvider",
            source="Hailo's own build of ONNX Runtime, which no package index has; HailoRT itself runs files that "
            "Hailo's compiler made, and wants a back end of its own (docs/how-to/accelerators.md)",
        ),
    )
}
"""Back ends by key; each is offered only where its provider and its device are present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a provider offers here: its version and its devices; ``problem`` says why nothing."""

    version: str | None = None
    devices: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    problem: str | None = None


_registered: dict[str, str | None] = {}  # plug-in module to what went wrong; a library is registered once a process
_registering = threading.Lock()


def offer_of(provider: Provider) -> Offer:
    """Say what ``provider`` offers on this device."""
    if importlib.util.find_spec("onnxruntime") is None:
        return Offer(problem="onnxruntime is not installed")
    import onnxruntime as ort

    if provider is CPU_PROVIDER:
        return Offer(version=ort.__version__, names=(CPU,))
    lacking = _register(ort, provider.plugin) if provider.plugin else "it is not built in"
    if lacking is None:
        return _plugged(ort, provider)
    if provider.ep in ort.get_available_providers():
        return Offer(version=ort.__version__, names=(provider.title,))
    return Offer(
        problem=f"onnxruntime {ort.__version__} has no {provider.ep}: {lacking}; it comes with {provider.source}"
    )


def _plugged(ort: Any, provider: Provider) -> Offer:
    """What a registered library offers."""
    known = [device for device in ort.get_ep_devices() if device.ep_name == provider.ep]
    fitting = tuple(d for d in known if provider.device.items() <= dict(d.ep_metadata).items())
    if not fitting:
        seen = ", ".join(sorted({_kind(device) for device in known})) or "none"
        return Offer(problem=f"it has no such device here (it shows: {seen})")
    metadata = dict(fitting[0].ep_metadata)
    names = tuple(dict.fromkeys(metadata.get("FULL_DEVICE_NAME") or _kind(device) for device in fitting))
    return Offer(version=metadata.get("version"), devices=fitting[:1], names=names)


def _kind(device: Any) -> str:
    return str(dict(device.ep_metadata).get("ov_device") or device.device.type.name)


def _register(ort: Any, module: str) -> str | None:
    """Register the library of a plug-in package, once; say what is wrong."""
    with _registering:
        if module not in _registered:
            _registered[module] = _try_register(ort, module)
        return _registered[module]


def _try_register(ort: Any, module: str) -> str | None:
    package = module.replace("_", "-")
    if importlib.util.find_spec(module) is None:
        return f"{package} is not installed"
    if not hasattr(ort, "register_execution_provider_library"):
        return f"{package} needs a newer onnxruntime"
    from edgehybrid.runtime.backends.onnx_errors import ORT_ERRORS

    failures: tuple[type[Exception], ...] = (ImportError, AttributeError, OSError, *ORT_ERRORS)
    try:
        ort.register_execution_provider_library(module, importlib.import_module(module).get_library_path())
    except failures as error:
        return f"{package} does not load: {' '.join(str(error).split())[:200]}"
    return None
