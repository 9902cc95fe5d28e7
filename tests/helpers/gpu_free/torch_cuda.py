"""What torch.cuda and FlexAttention answer while the pretended device is in use."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bench3r.attention import float8, sparse
from tests.helpers.gpu_free.tensors import Active, CudaGenerator, StandInLimit


@dataclass(frozen=True)
class FlexCall:
    """One call of FlexAttention, for :mod:`flex`."""

    dtype: torch.dtype
    head_dim: int
    queries: int
    keys: int
    blocks: tuple[int, int]
    kernel_options: tuple[tuple[str, Any], ...]
    where: str


def replacements(mode: Any) -> list[tuple[Any, str, Any]]:
    """What torch.cuda would say, as (object, name, replacement)."""
    memory, cuda = mode.memory, torch.cuda

    def none(*args: Any, **kwargs: Any) -> None:
        return None

    def wait(*args: Any, **kwargs: Any) -> None:
        return None

    properties = SimpleNamespace(
        name="pretended GPU",
        total_memory=mode.capacity,
        major=mode.capability[0],
        minor=mode.capability[1],
        multi_processor_count=132,
        warp_size=32,
        regs_per_multiprocessor=65536,
        uuid="pretended",
        max_threads_per_multi_processor=2048,
        shared_memory_per_block_optin=232448,
        gcnArchName="",
    )
    real_generator = torch.Generator

    class AnyGenerator(type(real_generator)):  # type: ignore[misc]
        """``torch.Generator(device)`` of either device; isinstance as before."""

        def __call__(cls, device: Any = "cpu") -> Any:
            return (
                CudaGenerator() if torch.device(device).type == "cuda" else real_generator(device)
            )

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, real_generator)

    generator = AnyGenerator("Generator", (), {})

    class Event:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def record(self, *args: Any) -> None: ...
        def synchronize(self) -> None: ...
        def wait(self, *args: Any) -> None: ...
        def query(self) -> bool:
            return True

        def elapsed_time(self, other: Any) -> float:
            return 1.0

    class Stream(contextlib.nullcontext):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()

        def synchronize(self) -> None: ...
        def wait_stream(self, *args: Any) -> None: ...
        def wait_event(self, *args: Any) -> None: ...
        def record_event(self, *args: Any) -> Event:
            return Event()

    def backward(*args: Any, **kwargs: Any) -> None:
        mode.notes["backward passes are not run, gradients stay as they were"] += 1

    def compile_(model: Any = None, **kwargs: Any) -> Any:
        return model if model is not None else (lambda f: f)

    import torch.nn.attention.flex_attention as flex

    said = {
        "_lazy_init": none,
        "init": none,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": none,
        "synchronize": wait,
        "empty_cache": none,
        "manual_seed": none,
        "manual_seed_all": none,
        "get_device_capability": lambda *a: mode.capability,
        "get_device_name": lambda *a: properties.name,
        "get_device_properties": lambda *a: properties,
        "is_bf16_supported": lambda *a, **k: True,
        "memory_allocated": lambda *a: memory.live,
        "max_memory_allocated": lambda *a: memory.peak,
        "memory_reserved": lambda *a: memory.live,
        "max_memory_reserved": lambda *a: memory.peak,
        "reset_peak_memory_stats": none,
        "memory_stats": lambda *a: {},
        "reset_accumulated_memory_stats": none,
        "mem_get_info": lambda *a: (max(0, mode.capacity - memory.live), mode.capacity),
        "Event": Event,
        "Stream": Stream,
        "stream": lambda s=None: contextlib.nullcontext(),
        "current_stream": lambda *a: Stream(),
        "ipc_collect": none,
        "get_rng_state": lambda *a: torch.empty(0, dtype=torch.uint8),
        "set_rng_state": none,
    }
    return [
        *((cuda, name, new) for name, new in said.items()),
        (torch, "Generator", generator),
        (torch, "compile", compile_),
        (flex, "flex_attention", _flex_stand_in),
        (sparse, "_compiled_flex", lambda: _flex_stand_in),
        (float8, "_compiled_quantise", lambda: float8._quantise_wide),
        (Tensor, "record_stream", none),
        (Tensor, "backward", backward),
        (Tensor, "pin_memory", lambda self, *a, **k: self),
        (torch._C, "_cuda_getDeviceCount", lambda: 1),
    ]


def _flex_stand_in(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Any = None,
    block_mask: Any = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """FlexAttention by a dense mask (values) or its shape.

    The call is noted for the check of tiles.
    """
    mode = Active.mode
    assert mode is not None
    blocks = tuple(block_mask.BLOCK_SIZE) if block_mask is not None else (128, 128)
    mode.flex[
        FlexCall(
            query.dtype,
            query.shape[-1],
            query.shape[2],
            key.shape[2],
            blocks,
            tuple(sorted((kernel_options or {}).items())),
            mode.place(),
        )
    ] += 1
    if len({query.dtype, key.dtype, value.dtype}) > 1:
        raise ValueError(
            f"FlexAttention: one dtype expected, got {query.dtype}, {key.dtype}, {value.dtype}"
        )
    lse = query.new_zeros(query.shape[:-1], dtype=torch.float32)
    if not mode.values:
        out = (
            torch.empty_like(query)
            if query.shape[-1] == value.shape[-1]
            else query.new_empty((*query.shape[:-1], value.shape[-1]))
        )
        return (out, lse) if return_lse else out
    keep = None
    if block_mask is not None:
        dense = block_mask.to_dense().bool()
        dense = dense.repeat_interleave(blocks[0], -2, output_size=dense.shape[-2] * blocks[0])
        dense = dense.repeat_interleave(blocks[1], -1, output_size=dense.shape[-1] * blocks[1])
        keep = dense[..., : query.shape[2], : key.shape[2]]
        if block_mask.mask_mod is not None:
            n, h = query.shape[:2]
            index = [
                torch.arange(s, device=query.device) for s in (n, h, query.shape[2], key.shape[2])
            ]
            grid = [x.view([-1 if j == i else 1 for j in range(4)]) for i, x in enumerate(index)]
            keep = keep & block_mask.mask_mod(*grid)
    if score_mod is not None:
        raise StandInLimit("FlexAttention with a score_mod")
    with torch.autocast("cuda", enabled=False):
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=keep, scale=scale, enable_gqa=enable_gqa
        )
    return (out, lse) if return_lse else out
