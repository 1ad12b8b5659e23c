"""The machine behind the figures."""

from __future__ import annotations

import onnxruntime as ort

from edgehybrid.bundle import MeasuredOn
from edgehybrid.profiles import DeviceProfile, detect_device


def measured_on(target: DeviceProfile, *, seed: int, data_sha256: str) -> MeasuredOn:
    """Describe this machine; when the export is for another board, ``profile`` says whose latency this is."""
    here = detect_device()
    mine = target.name == here.name
    return MeasuredOn(
        cpu=here.cpu.name,
        isa=here.cpu.isa,
        cores=here.cpu.cores,
        runtime=f"onnxruntime {ort.__version__}",
        profile=target.name if mine else f"{target.name} (watts; latency measured on the workstation)",
        seed=seed,
        data_sha256=data_sha256,
    )


def machine_key() -> str:
    """What of this machine a measured time depends on."""
    cpu = detect_device().cpu
    return f"{cpu.name} {cpu.cores} {','.join(cpu.isa)} onnxruntime {ort.__version__}"
