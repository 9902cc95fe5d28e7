"""The ladder of baselines: plain ways to run an unchanged backbone, each a rung.

A method's saving is over one of them, and tables name it, because a plain cast may give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
LowPrecision = Literal["bf16", "fp16"]


class Rung(StrEnum):
    """A way to run an unchanged backbone; :data:`SETUPS` says what each means."""

    FP32 = "fp32"
    FP32_TF32 = "fp32_tf32"
    AUTOCAST_BF16 = "autocast_bf16"
    BF16_WEIGHTS = "bf16_weights"
    AUTOCAST_FP16 = "autocast_fp16"
    FP16_WEIGHTS = "fp16_weights"
    FP32_COMPILED = "fp32_compiled"
    FP32_TF32_COMPILED = "fp32_tf32_compiled"
    AUTOCAST_BF16_COMPILED = "autocast_bf16_compiled"
    BF16_WEIGHTS_COMPILED = "bf16_weights_compiled"
    AUTOCAST_FP16_COMPILED = "autocast_fp16_compiled"
    FP16_WEIGHTS_COMPILED = "fp16_weights_compiled"


@dataclass(frozen=True)
class Setup:
    """What a rung sets; heads and geometry are in fp32 on every one.

    ``weights``: what encoder and trunk are stored and, without ``autocast``, computed in.
    ``autocast``: the trunk runs under it. ``tf32``: matrix products and convolutions of fp32 may
    use TF32; else PyTorch's defaults hold, which allow it to convolutions alone. ``compiled``:
    every transformer block went through ``torch.compile``.
    """

    label: str
    weights: Precision = "fp32"
    autocast: LowPrecision | None = None
    tf32: bool = False
    compiled: bool = False

    @property
    def low(self) -> LowPrecision | None:
        """The low precision that the trunk computes in; None: fp32."""
        if self.autocast is not None:
            return self.autocast
        return None if self.weights == "fp32" else self.weights


SETUPS: Mapping[Rung, Setup] = MappingProxyType(
    {
        Rung.FP32: Setup("fp32"),
        Rung.FP32_TF32: Setup("fp32 + TF32", tf32=True),
        Rung.AUTOCAST_BF16: Setup("autocast bf16", autocast="bf16"),
        Rung.BF16_WEIGHTS: Setup("bf16 weights", weights="bf16"),
        Rung.AUTOCAST_FP16: Setup("autocast fp16", autocast="fp16"),
        Rung.FP16_WEIGHTS: Setup("fp16 weights", weights="fp16"),
        Rung.FP32_COMPILED: Setup("fp32, compiled", compiled=True),
        Rung.FP32_TF32_COMPILED: Setup("fp32 + TF32, compiled", tf32=True, compiled=True),
        Rung.AUTOCAST_BF16_COMPILED: Setup(
            "autocast bf16, compiled", autocast="bf16", compiled=True
        ),
        Rung.BF16_WEIGHTS_COMPILED: Setup("bf16 weights, compiled", weights="bf16", compiled=True),
        Rung.AUTOCAST_FP16_COMPILED: Setup(
            "autocast fp16, compiled", autocast="fp16", compiled=True
        ),
        Rung.FP16_WEIGHTS_COMPILED: Setup("fp16 weights, compiled", weights="fp16", compiled=True),
    }
)


def rung_of_run(precision: Literal["fp32", "bf16"]) -> Rung:
    """The rung that a run of ``precision`` stands on: its unchanged backbones run so."""
    return Rung.AUTOCAST_BF16 if precision == "bf16" else Rung.FP32
