"""Peaks of memory: the kernel's own where it gives one, samples elsewhere, and nested trackers."""

from __future__ import annotations

import mmap
import threading
import time

import pytest

from bench3r.measure.trackers import MemoryTracker, ResidentSet

LARGE = 256 << 20


def spend() -> None:
    """Hold ``LARGE`` bytes for a moment, from the kernel itself.

    The allocator would hand out memory again that other tests of this process have freed.
    """
    with mmap.mmap(-1, LARGE) as held:
        for page in range(0, LARGE, mmap.PAGESIZE):
            held[page] = 1
        time.sleep(0.05)


class Sealed(ResidentSet):
    """A kernel that does not let its peak be set back."""

    def reset(self) -> bool:
        return False


@pytest.mark.parametrize("resident", [ResidentSet(), Sealed()])
def test_nested_trackers_see_their_own_peak_of_the_resident_set(monkeypatch, resident):
    monkeypatch.setattr(MemoryTracker, "resident", resident)
    with MemoryTracker(interval=0.005) as outer:
        with MemoryTracker(interval=0.005) as first:
            spend()
        with MemoryTracker(interval=0.005) as second:
            time.sleep(0.02)
    assert outer.peak_rss >= first.peak_rss
    assert first.peak_rss - first.baseline_rss > 0.9 * LARGE
    assert second.peak_rss - second.baseline_rss < 0.5 * LARGE
    assert MemoryTracker._open == []


def test_nothing_is_sampled_where_the_kernel_keeps_the_peak():
    if not ResidentSet().reset():
        pytest.skip("this kernel does not let the peak be set back")
    before = threading.active_count()
    start = time.process_time()
    with MemoryTracker() as memory:
        assert threading.active_count() == before
        time.sleep(0.2)
    assert time.process_time() - start < 0.02 * 0.2
    assert memory.peak_rss >= memory.baseline_rss > 0


def test_the_resident_set_is_read_without_procfs(monkeypatch, tmp_path):
    monkeypatch.setattr(ResidentSet, "STATM", tmp_path / "none")
    assert ResidentSet().now() > 1e6
