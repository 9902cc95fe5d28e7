"""What NVIDIA's management library knows about a GPU: energy, clocks, throttling, processes.

Needs the package nvidia-ml-py (``pip install bench3r[nvidia]``); without it, or without a GPU,
there is nothing to say and the records say so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from pydantic import JsonValue

State = dict[str, JsonValue]

STATE_EVERY = 0.5  # seconds

# bits of the clocks' event reasons that slow a busy GPU
THROTTLES = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


class Gpu:
    """The GPU that torch uses."""

    def __init__(self) -> None:
        import pynvml

        self.nvml: Any = pynvml
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        uuid = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        self.handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def joules(self) -> float:
        """Energy used since the driver was loaded."""
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000

    def state(self) -> State:
        """Clocks (MHz), temperature (Celsius), power (W), what slows it and who else uses it."""
        n = self.nvml
        h = self.handle
        reasons = int(n.nvmlDeviceGetCurrentClocksThrottleReasons(h))
        running = [int(p.pid) for p in n.nvmlDeviceGetComputeRunningProcesses(h)]
        return {
            "clock_mhz": int(n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)),
            "clock_limit_mhz": int(n.nvmlDeviceGetMaxClockInfo(h, n.NVML_CLOCK_SM)),
            "memory_clock_mhz": int(n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)),
            "temperature_c": int(n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)),
            "power_w": float(n.nvmlDeviceGetPowerUsage(h)) / 1000,
            "throttled_by": [text for bit, text in THROTTLES.items() if reasons & bit],
            "other_processes": [*others_of(running, os.getpid())],
        }


def others_of(running: list[int], own: int) -> list[int]:
    """The processes of ``running`` that are not ``own``.

    In a container the driver still gives the host's process ids, among which ``own`` is not known.
    This process does hold a context on the GPU, so one of them is its own, and the rest are others.
    """
    return [p for p in running if p != own] if own in running else running[1:]


def find_gpu() -> Gpu | str:
    """The GPU, or why its management library cannot be asked."""
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    try:
        return Gpu()
    except ImportError:
        return "nvidia-ml-py is not installed"
    except Exception as error:
        # whatever a driver answers: energy is an extra and must not cost the measurement
        return f"{type(error).__name__}: {error}"


def energy_of(
    call: Callable[[], object], gpu: Gpu, least_seconds: float = 3.0
) -> tuple[float, State]:
    """Joules of one ``call``, and the GPU's state while it was busy.

    The energy is the difference of the GPU's own counter, averaged over ``least_seconds`` of calls:
    it moves some ten times a second, so a single short call cannot be told from none. The state is
    asked for twice a second at most, as that takes time in which a GPU would idle.
    """
    torch.cuda.synchronize()
    before = gpu.joules()
    start = time.perf_counter()
    calls = 0
    state: State = {}
    due = 0.0  # seconds since the start after which the state is asked for again
    while not calls or time.perf_counter() - start < least_seconds:
        call()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= due:
            state = gpu.state()  # the queue is still full: this is the state at work
            due = passed + STATE_EVERY
        torch.cuda.synchronize()
    return (gpu.joules() - before) / calls, {**state, "energy_calls": calls}
