"""Putting a backbone on a rung of the ladder, and which rungs a device cannot run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain

import torch
from torch import Tensor, nn

from bench3r.measure.rungs import SETUPS, LowPrecision, Rung, Setup
from bench3r.models.backbone import Backbone
from bench3r.models.layers import Block

DTYPES: dict[LowPrecision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
AMPERE = (8, 0)  # the compute capability that brought bf16 and TF32
# Blocks share one compiled function, of which each kind, shape and precision is a version.
VERSIONS = 64


def why_unsupported(rung: Rung, device: str) -> str:
    """Why ``device`` ("cpu" or "cuda") cannot run ``rung``; "" when it can."""
    setup = SETUPS[rung]
    reason = ""
    if device == "cuda":
        reason = _lacks(setup, torch.cuda.get_device_capability(), torch.cuda.get_device_name())
    elif setup.tf32:
        reason = "a CPU has no TF32"
    if not reason and setup.compiled:
        reason = _why_not_compiled(device)
    return reason


def _lacks(setup: Setup, capability: tuple[int, int], name: str) -> str:
    """What a GPU of this compute ``capability`` lacks for ``setup``; "" for nothing."""
    if capability >= AMPERE:
        return ""
    own = f"{name} (compute capability {capability[0]}.{capability[1]})"
    if setup.low == "bf16":
        return f"{own} has no bf16"
    return f"{own} has no TF32" if setup.tf32 else ""


def _why_not_compiled(device: str) -> str:
    if device == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "torch.compile needs Triton, which does not run here"
    known = ("g++", "clang++", "c++")
    if any(shutil.which(name) for name in known):
        return ""
    return f"torch.compile needs a C++ compiler ({', '.join(known)})"


def put_on(model: Backbone, rung: Rung) -> None:
    """Change ``model`` to what ``rung`` says, but for TF32, which :func:`on_rung` sets."""
    setup = SETUPS[rung]
    model.trunk_dtype = None if setup.low is None else DTYPES[setup.low]
    if setup.weights != "fp32":
        _lower(model, DTYPES[setup.weights])
        # The trunk computes in what it is stored in: nothing is left to cast.
        model.autocast = lambda device: nullcontext()  # type: ignore[method-assign]
    if setup.compiled:
        torch._dynamo.config.recompile_limit = VERSIONS
        for module in model.modules():
            if isinstance(module, Block):
                module.compile()


def _lower(model: Backbone, dtype: torch.dtype) -> None:
    """Store all but what the heads run in ``dtype``."""
    kept = {id(tensor) for module in _run_by_heads(model) for tensor in _tensors(module)}
    for tensor in _tensors(model):
        if id(tensor) not in kept and tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)


def _run_by_heads(model: Backbone) -> Iterator[nn.Module]:
    """Heads, and norms outside of all parts, which prepare what heads read."""
    modules = dict(model.named_modules())
    trunk: set[nn.Module] = set()
    for part, names in model.parts.items():
        for name in names:
            if part.endswith("_head"):
                yield modules[name]
            elif name in modules:  # some are optional
                trunk |= set(modules[name].modules())
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and module not in trunk:
            yield module


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def inputs_on(rung: Rung, inputs: list[Tensor]) -> list[Tensor]:
    """``inputs``, each [1, S, 3, H, W], in the precision that the rung's first layer is stored in.

    The same ones on rungs whose weights are in fp32.
    """
    weights = SETUPS[rung].weights
    if weights == "fp32":
        return inputs
    return [images.to(DTYPES[weights]) for images in inputs]


def on_rung(rung: Rung, call: Callable[[], object]) -> Callable[[], object]:
    """``call`` with the TF32 flags of ``rung``, which are as before after it."""

    def run() -> object:
        with _tf32(SETUPS[rung].tf32):
            return call()

    return run


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    if not allowed:
        yield
        return
    matmul = torch.backends.cuda.matmul
    cudnn = torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    matmul.allow_tf32 = True
    cudnn.allow_tf32 = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
