"""Which attention kernels really ran: the operators that torch's profiler saw in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

# Operator of scaled_dot_product_attention's backends, as the profiler names it -> the backend.
BACKENDS = {
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_efficient_attention": "memory-efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::_scaled_dot_product_attention_math": "math",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash (CPU)",
    "aten::_scaled_dot_product_fused_attention_overrideable": "of the device's own",
}
# What those run in turn; where a method calls one itself there are more of them.
BELOW = {
    "aten::_flash_attention_forward": "flash",
    "aten::_efficient_attention_forward": "memory-efficient",
    "aten::_cudnn_attention_forward": "cudnn",
}
FLEX = "flex_attention"
FUSED = "aten::scaled_dot_product_attention"  # chooses a backend; counted by what it chose


def attention_kernels(call: Callable[[], object]) -> dict[str, int]:
    """By attention backend how often it ran in one ``call``; empty where none did.

    Those of PyTorch's scaled_dot_product_attention and flex_attention; what a method computes by
    products or kernels of its own is not among them.
    """
    counts: dict[str, int] = {}
    for event in _operators(call):
        counts[event.name] = counts.get(event.name, 0) + 1
    return backends_in(counts)


def _operators(call: Callable[[], object]) -> Iterable[Any]:
    """The operators of ``call`` as profiled events.

    By the light profiler where torch has it: the other one takes seconds to start.
    """
    try:
        from torch.autograd.profiler_legacy import profile as light
    except ImportError:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as seen:
            call()
        return seen.events() or ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is an old one
        with light() as found:
            call()
    return found.function_events or ()


def backends_in(counts: dict[str, int]) -> dict[str, int]:
    """Calls by backend, from ``counts`` of profiled operators by name."""
    found: dict[str, int] = {}
    for name, backend in BACKENDS.items():
        if name in counts:
            found[backend] = found.get(backend, 0) + counts[name]
    for name, backend in BELOW.items():
        if counts.get(name, 0) > found.get(backend, 0):
            found[backend] = counts[name]
    flex = sum(n for name, n in counts.items() if FLEX in name and "backward" not in name)
    if flex:
        found["flex"] = flex
    return found
