"""Energy and state of a GPU, with a stand-in for NVIDIA's library."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

from bench3r.measure import nvidia


def library(used: list[float]) -> SimpleNamespace:
    """A hot card with another process on it; ``used``: joules so far."""
    running = [SimpleNamespace(pid=1), SimpleNamespace(pid=os.getpid())]
    return SimpleNamespace(
        nvmlDeviceGetTotalEnergyConsumption=lambda h: used[0] * 1000,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda h: 0x40 | 0x1,
        nvmlDeviceGetComputeRunningProcesses=lambda h: running,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        nvmlDeviceGetClockInfo=lambda h, k: 1000 * k,
        nvmlDeviceGetMaxClockInfo=lambda h, k: 1980,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetTemperature=lambda h, k: 88,
        nvmlDeviceGetPowerUsage=lambda h: 650_000,
    )


def test_energy_and_state_of_a_gpu(monkeypatch):
    """20 J a call, clocks slowed down by heat, another process on the card."""
    used = [0.0]
    clock = [0.0]
    monkeypatch.setattr(nvidia.torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(nvidia.time, "perf_counter", lambda: clock[0])
    gpu = nvidia.Gpu.__new__(nvidia.Gpu)
    gpu.nvml = library(used)
    gpu.handle = None

    def call():
        used[0] += 20
        clock[0] += 1

    joules, state = nvidia.energy_of(call, gpu, 2.5)
    assert (joules, state["energy_calls"], state["power_w"]) == (20, 3, 650)
    assert state["throttled_by"] == ["temperature (hardware)"]
    assert state["other_processes"] == [1]


def test_other_processes_are_told_from_this_one():
    own = os.getpid()
    assert nvidia.others_of([4711], own) == [], "in a container, under the host's number"
    assert nvidia.others_of([4711, 4712], own) == [4712]


def test_without_the_library_energy_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(nvidia.torch.cuda, "is_available", lambda: True)
    assert nvidia.find_gpu() == "nvidia-ml-py is not installed"
