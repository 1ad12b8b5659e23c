"""Device profiles and policies, as validated TOML."""

from edgehybrid.profiles.detect import detect_device
from edgehybrid.profiles.loader import device_names, load_device, load_policy, policy_names, unknown_fields
from edgehybrid.profiles.schema import (
    BatteryPolicy,
    Cpu,
    DeviceProfile,
    DutyPolicy,
    ExecutionPolicy,
    ExitsPolicy,
    GatePolicy,
    MemoryPolicy,
    Pole,
    Policy,
    Power,
    Rule,
    Source,
    SwitchingPolicy,
    Thermal,
    ThermalPolicy,
)

__all__ = [
    "BatteryPolicy",
    "Cpu",
    "DeviceProfile",
    "DutyPolicy",
    "ExecutionPolicy",
    "ExitsPolicy",
    "GatePolicy",
    "MemoryPolicy",
    "Pole",
    "Policy",
    "Power",
    "Rule",
    "Source",
    "SwitchingPolicy",
    "Thermal",
    "ThermalPolicy",
    "detect_device",
    "device_names",
    "load_device",
    "load_policy",
    "policy_names",
    "unknown_fields",
]
