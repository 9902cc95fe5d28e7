"""FLOPs counted three ways, and the refusal to count what has no known cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from bench3r.api.errors import Bench3RError
from bench3r.api.reconstruction import Reconstruction
from bench3r.measure import flops, trackers
from bench3r.measure.trackers import MemoryTracker, time_calls
from bench3r.models.vggt.macs import vggt_macs


@pytest.mark.parametrize(("frames", "size"), [(1, (72, 96)), (3, (96, 96)), (4, (56, 96))])
def test_fvcore_torch_and_closed_form_agree_exactly(tiny, frames, size):
    images = torch.rand(1, frames, 3, *size)
    counted = flops.count(tiny, images)
    closed = vggt_macs(tiny.config, frames, size)
    assert counted.macs == flops.count_torch(tiny, images) == sum(closed.values())
    assert flops.parts(tiny, counted.by_module) == closed
    assert counted.flops == 2 * counted.macs


class Odd(nn.Module):
    def forward(self, images):
        b, s, _, h, w = images.shape
        depth = torch.special.bessel_j0(images[:, :, 0]).abs()
        return Reconstruction(torch.zeros(b, s, 3, 4), torch.zeros(b, s, 3, 3), depth, depth)


def test_an_operator_of_unknown_cost_is_an_error():
    with pytest.raises(Bench3RError, match=r"bessel_j0.*HANDLERS"):
        flops.count(Odd(), torch.rand(1, 2, 3, 8, 8))


TRACKED = """
import torch
from bench3r.measure.trackers import MemoryTracker, Timer
with MemoryTracker() as memory, Timer() as timer:
    kept = torch.ones(250_000_000)
print(timer.seconds, memory.peak_rss - memory.baseline_rss)
"""


def test_trackers_see_time_and_memory():
    """In a process of its own: this one may hold freed memory, which a new tensor would reuse."""
    done = subprocess.run(
        [sys.executable, "-c", TRACKED], capture_output=True, text=True, check=True
    )
    seconds, grown = map(float, done.stdout.split())
    assert seconds > 0
    assert grown > 900e6
    calls = []
    assert len(time_calls(lambda: calls.append(1), "cpu", 2, 5)) == 5
    assert len(calls) == 7


def test_nested_trackers_keep_the_outer_peak(monkeypatch):
    """The GPU allocator has one peak, which an inner tracker resets.

    A stand-in for it counts 7, 3, then 5 bytes.
    """
    peak = [0]
    monkeypatch.setattr(
        trackers.torch.cuda, "reset_peak_memory_stats", lambda: peak.__setitem__(0, 0)
    )
    monkeypatch.setattr(trackers.torch.cuda, "max_memory_allocated", lambda: peak[0])
    monkeypatch.setattr(trackers.torch.cuda, "max_memory_reserved", lambda: 2 * peak[0])
    monkeypatch.setattr(trackers.torch.cuda, "mem_get_info", lambda: (60, 100))
    monkeypatch.setattr(trackers.torch.cuda, "memory_allocated", lambda: 2)
    with MemoryTracker("cuda") as outer:
        peak[0] = 7
        with MemoryTracker("cuda") as first:
            peak[0] = 3
        with MemoryTracker("cuda") as second:
            peak[0] = 5
        peak[0] = max(peak[0], 4)
    assert (outer.peak_gpu, first.peak_gpu, second.peak_gpu) == (7, 3, 5)
    assert (outer.peak_reserved, second.peak_reserved, outer.peak_driver) == (14, 10, 40)
    assert outer.baseline_gpu == 2  # what was there before the block
    assert MemoryTracker._open == []
