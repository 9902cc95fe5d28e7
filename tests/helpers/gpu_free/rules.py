"""What a GPU refuses, and when it is waited for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from tests.helpers.gpu_free.shapes import CPU_INDEX
from tests.helpers.gpu_free.tensors import CudaGenerator, DeviceMismatch

DRAWN = 1 << 22  # elements of floats that are drawn at random where content has to decide
aten = torch.ops.aten

WAITS = {
    "_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique", "_unique2",
    "unique_dim",
    "unique_consecutive", "equal", "bincount", "histc", "linalg_svd", "_linalg_svd", "linalg_eigh",
    "_linalg_eigh", "linalg_inv_ex", "_linalg_solve_ex", "linalg_lstsq", "linalg_cholesky_ex",
}  # fmt: skip
COPIES = {"_to_copy", "copy_", "_copy_from", "copy"}
CPU_ONLY = (
    "_for_cpu",
    "mkldnn",
    "onednn",
    "_quantized_linear_packed",
)  # in the names of operators without a CUDA kernel


class DeviceRules:
    """The part of the pretended device that refuses mixed devices and counts waits."""

    waits: Counter[tuple[str, str]]
    uploads: Counter[tuple[str, str]]
    mixed: Counter[tuple[str, str]]
    allow_mixed: bool

    def _same_device(self, func: Any, name: str, tensors: list[Tensor], kwargs: Any) -> None:
        generator = kwargs.get("generator")
        if (
            generator is not None
            and generator._cdata not in CudaGenerator.made
            and name not in COPIES
        ):
            self._mismatch(f"{name}: expected a 'cuda' generator, found {str(generator.device)!r}")
        if name in COPIES or name in ("_local_scalar_dense",):
            return
        kinds = {t.device.type for t in tensors}
        if kinds <= {"cuda"}:
            return
        strays = [t for t in tensors if t.device.type != "cuda"]
        if name in CPU_INDEX:
            target = tensors[0]
            if target.device.type == "cuda" and all(
                not t.is_floating_point() or t.dim() == 0 for t in strays
            ):  # allowed, but copied, which waits
                self.uploads[(f"{name} with CPU indices", self.place())] += 1
                return
        if all(t.dim() == 0 for t in strays) and (
            torch.Tag.pointwise in func.tags
            or name in ("masked_fill", "masked_fill_", "fill_", "where")
        ):
            return
        listed = ", ".join(f"{t.device.type}{list(t.shape)}" for t in tensors)
        self._mismatch(f"{name}: expected all tensors to be on the same device, found {listed}")

    def _mismatch(self, text: str) -> None:
        self.mixed[(text, self.place())] += 1
        if not self.allow_mixed:
            raise DeviceMismatch(text)

    def _count_waits(
        self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], wanted: torch.device | None
    ) -> None:
        here = next((t.device.type for t in tensors), "cpu")
        if name in WAITS:
            self.waits[(name, self.place())] += 1
        elif name in ("_to_copy",) and wanted is not None and here != wanted.type:
            (self.waits if here == "cuda" else self.uploads)[
                ("copy to the CPU" if here == "cuda" else "copy to the device", self.place())
            ] += 1
        elif name == "copy_" and len({t.device.type for t in tensors}) > 1:
            (self.uploads if here == "cuda" else self.waits)[("copy_", self.place())] += 1
        elif name in CPU_INDEX and any(
            t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]
        ):
            self.waits[("index by a mask", self.place())] += 1
        elif name == "repeat_interleave" and kwargs.get("output_size") is None and len(tensors) > 1:
            self.waits[(name, self.place())] += 1
