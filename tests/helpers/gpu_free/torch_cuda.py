"""What torch.cuda answers while the pretended device is in use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.attention.flex_attention as flex
from torch import Tensor

from bench3r.attention import float8, sparse
from bench3r.models import chunks
from tests.helpers.gpu_free.flex_stand_in import flex_stand_in
from tests.helpers.gpu_free.tensors import CudaGenerator


class Event:
    """A CUDA event that is over at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def record(self, *args: Any) -> None: ...
    def synchronize(self) -> None: ...
    def wait(self, *args: Any) -> None: ...
    def query(self) -> bool:
        return True

    def elapsed_time(self, other: Any) -> float:
        return 1.0


class Stream(contextlib.nullcontext):  # type: ignore[type-arg]
    """A CUDA stream on which nothing waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def synchronize(self) -> None: ...
    def wait_stream(self, *args: Any) -> None: ...
    def wait_event(self, *args: Any) -> None: ...
    def record_event(self, *args: Any) -> Event:
        return Event()


def nothing(*args: Any, **kwargs: Any) -> None:
    """In place of what only a device does."""


def generators() -> Any:
    """In place of ``torch.Generator``: of either device; isinstance as before."""
    real = torch.Generator

    class AnyGenerator(type(real)):  # type: ignore[misc]
        def __call__(cls, device: Any = "cpu") -> Any:
            on_cuda = torch.device(device).type == "cuda"
            return CudaGenerator() if on_cuda else real(device)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, real)

    return AnyGenerator("Generator", (), {})


def device_answers(mode: Any) -> dict[str, Callable[..., Any]]:
    """What torch.cuda says about the device."""
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
    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda *a: mode.capability,
        "get_device_name": lambda *a: properties.name,
        "get_device_properties": lambda *a: properties,
        "is_bf16_supported": lambda *a, **k: True,
        "get_rng_state": lambda *a: torch.empty(0, dtype=torch.uint8),
        "Event": Event,
        "Stream": Stream,
        "stream": lambda s=None: contextlib.nullcontext(),
        "current_stream": lambda *a: Stream(),
    }


def memory_answers(mode: Any) -> dict[str, Callable[..., Any]]:
    """What torch.cuda says about memory."""
    memory = mode.memory
    return {
        "memory_allocated": lambda *a: memory.live,
        "max_memory_allocated": lambda *a: memory.peak,
        "memory_reserved": lambda *a: memory.live,
        "max_memory_reserved": lambda *a: memory.peak,
        "memory_stats": lambda *a: {},
        "mem_get_info": lambda *a: (max(0, mode.capacity - memory.live), mode.capacity),
    }


ALIKE = 3  # chunks of one shape that are run; the third takes what all others take


def few_chunks(some: Callable[[int], tuple[Tensor, ...]], count: int, rows: int) -> list[Tensor]:
    """As :func:`join_chunks` on shapes alone: the first chunks and the last one, which differs.

    Those between have the shapes of the third, hold what it holds, and are told from it by values
    alone, of which there are none.
    """
    starts = range(0, count, rows)
    joined: list[chunks.Joined] = []
    for place, start in enumerate(starts):
        if place >= ALIKE and start != starts[-1]:
            for whole in joined:
                whole.done += rows
            continue
        parts = some(start)
        joined = joined or [chunks.Joined(count) for _ in parts]
        for whole, part in zip(joined, parts, strict=True):
            whole.add(part)
    return [whole.result() for whole in joined]


def users_of(function: Callable[..., Any]) -> list[tuple[Any, str]]:
    """Modules of the project that know ``function`` by its name, and the name."""
    known = [m for name, m in sys.modules.items() if name.startswith("bench3r")]
    name = function.__name__
    return [(module, name) for module in known if vars(module).get(name) is function]


SILENT = (
    "_lazy_init",
    "init",
    "set_device",
    "synchronize",
    "empty_cache",
    "manual_seed",
    "manual_seed_all",
    "reset_peak_memory_stats",
    "reset_accumulated_memory_stats",
    "ipc_collect",
    "set_rng_state",
)


def replacements(mode: Any) -> list[tuple[Any, str, Any]]:
    """What stands in for torch's own while ``mode`` is in use, as (object, name, replacement)."""

    def backward(*args: Any, **kwargs: Any) -> None:
        mode.notes["backward passes are not run, gradients stay as they were"] += 1

    def compile_(model: Any = None, **kwargs: Any) -> Any:
        return model if model is not None else (lambda f: f)

    shortened = [] if mode.values or mode.every_chunk else users_of(chunks.join_chunks)
    said = {**dict.fromkeys(SILENT, nothing), **device_answers(mode), **memory_answers(mode)}
    return [
        *((torch.cuda, name, new) for name, new in said.items()),
        *((module, name, few_chunks) for module, name in shortened),
        (torch, "Generator", generators()),
        (torch, "compile", compile_),
        (flex, "flex_attention", flex_stand_in),
        (sparse, "_compiled_flex", lambda: flex_stand_in),
        (float8, "_compiled_quantise", lambda: float8._quantise_wide),
        (Tensor, "record_stream", nothing),
        (Tensor, "backward", backward),
        (Tensor, "pin_memory", lambda self, *a, **k: self),
        (torch._C, "_cuda_getDeviceCount", lambda: 1),
    ]
