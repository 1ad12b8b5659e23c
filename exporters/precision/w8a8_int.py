"""``w8a8-int``: as ``w8a8``, but no float runs between two convolutions: SiLU and depthwise ones in integers too.

ONNX Runtime looks the sigmoid up and multiplies integers. Whether that is faster than SiLU in floats between two
conversions depends on the processor, so both are tried. *Measured*, beside ``w8a8``: on a Sapphire
Rapids 1.04 times as fast for the camera classifier, 1.03 for the keyword spotter; on an EPYC floats won (record 16). It
costs about half a dB of likeness, a rounding more for each activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgehybrid.exporters.precision.w8a8 import StaticInt8


@dataclass(frozen=True, slots=True)
class IntegersThroughout(StaticInt8):
    """QDQ around everything that convolutions feed."""

    name: ClassVar[str] = "w8a8-int"
    throughout: ClassVar[bool] = True
