"""Roofline estimates: how long counted FLOPs and bytes take on a device, at least and likely.

Per part of a model the time is the larger of FLOPs over the peak rate and bytes over the bandwidth
(Williams et al. 2009). Bytes are the weights, read once, and the tokens' traffic through the
blocks. The floor is that sum at the device's ceilings; the estimate divides it by an efficiency,
which is stated. An estimate is never a measurement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.files import read_yaml

FILE = Path(__file__).with_name("devices.yaml")
BYTES = {"fp32": 4, "bf16": 2, "fp8": 1}
# times a token's channels are read or written per block:
# norms, residuals, projections, MLP (of ratio 4)
TRAFFIC = 20
BLOCK_PARTS = ("frame_blocks", "global_blocks")
TYPICAL = 0.45  # assumed efficiency of well-written transformer inference on GPUs
GEMM = 1024  # side of the product that measures a ceiling


class Device(BaseModel):
    """Ceilings of a device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    tflops: dict[str, float]
    bandwidth_tb: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    source: str

    def rate(self, precision: str) -> float:
        """Operations per second in ``precision``. Raises Bench3RError where the device has none."""
        if precision not in self.tflops:
            raise Bench3RError(
                f"{self.label} has no rate for {precision} (it has {', '.join(self.tflops)})"
            )
        return self.tflops[precision] * 1e12


@cache
def devices(file: Path = FILE) -> dict[str, Device]:
    """Devices by name. Raises Bench3RError naming file, device and key."""
    if not file.is_file():
        raise Bench3RError(f"{file}: no device file")
    raw = read_yaml(file)
    found = {}
    for name, entry in raw.items():
        try:
            found[name] = Device.model_validate(entry)
        except ValidationError as error:
            raise describe(error, f"{file}: {name}", Device.model_fields) from error
    return found


def device(name: str) -> Device:
    """The device called ``name``. Raises Bench3RError with the closest known one."""
    known = devices()
    if name not in known:
        raise unknown("device", name, known, str(FILE))
    return known[name]


def traffic(
    dense: BackboneCost, found: Cost, weight_bytes: dict[str, float], precision: str
) -> dict[str, float]:
    """Bytes moved by part: weights once, and tokens through the trunk's blocks.

    Tokens pass as often as the blocks' FLOPs say that they ran.
    """
    tokens = TRAFFIC * dense.sequence * dense.dim * BYTES[precision] * dense.pairs
    out = dict(weight_bytes)
    for part in BLOCK_PARTS:
        share = min(1.0, found.parts.get(part, 0.0) / max(dense.parts.get(part, 0.0), 1.0))
        out[part] = out.get(part, 0.0) + tokens * share
    return out


def floor_seconds(
    flops: dict[str, float], moved: dict[str, float], rate: float, bandwidth: float
) -> float:
    """Least time for ``flops`` and ``moved`` bytes by part.

    ``rate``: operations, ``bandwidth``: bytes a second.
    """
    return sum(
        max(flops.get(p, 0.0) / rate, moved.get(p, 0.0) / bandwidth) for p in {*flops, *moved}
    )


def measured_ceiling(
    where: str = "cpu", precision: str = "fp32", seconds: float = 0.1
) -> dict[str, float]:
    """The best rate of a matrix product in ``precision`` and of a copy on this machine.

    ``flops`` and ``bytes`` a second.
    """
    import torch

    side = GEMM * (8 if where == "cuda" else 1)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.rand(side, side, device=where, dtype=dtype)
    b = torch.rand_like(a)
    big = torch.rand(8 * GEMM * GEMM, device=where)
    out = torch.empty_like(a)

    def best(call: Callable[[], object]) -> float:
        found = float("inf")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            call()
            if where == "cuda":
                torch.cuda.synchronize()
            found = min(found, time.perf_counter() - start)
        return found

    target = torch.empty_like(big)
    with torch.inference_mode():
        product = best(lambda: torch.mm(a, b, out=out))
        copy = best(lambda: target.copy_(big))
    return {"flops": 2 * side**3 / product, "bytes": 2 * big.numel() * big.element_size() / copy}
