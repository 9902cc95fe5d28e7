"""Peaks of memory: the kernel's own where it gives one, samples elsewhere, and nested trackers."""

from __future__ import annotations

import mmap
import threading
import time

import pytest

from bench3r.measure import trackers
from bench3r.measure.pairs import paired_ratio
from bench3r.measure.trackers import MemoryTracker, ResidentSet, is_backwards, time_in_turn

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


def test_which_call_comes_first_changes_as_often_on_every_input():
    """Two inputs in turn: with a plain back and forth one of them would always go first."""
    backwards = [is_backwards(turn) for turn in range(8)]
    assert backwards == [False, True, True, False, True, False, False, True]
    for inputs in (1, 2):
        for first in range(inputs):
            assert sum(backwards[first::inputs]) * 2 == len(backwards[first::inputs])


def test_calls_take_turns_and_their_times_stay_apart(monkeypatch):
    order = []
    clock = {"a": 1.0, "b": 2.0}

    class Stopwatch:
        def __init__(self, device):
            self.seconds = 0.0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.seconds = clock[order[-1]]

    monkeypatch.setattr(trackers, "Timer", Stopwatch)
    calls = [lambda: order.append("a"), lambda: order.append("b")]
    assert time_in_turn(calls, "cpu", 1, 4) == [[1.0] * 4, [2.0] * 4]
    assert "".join(order) == "ab" + "ab" + "ba" + "ba" + "ab"


def test_a_machine_that_slows_down_favours_no_call(monkeypatch):
    """Each call takes 1 % longer than the one before: one that always came second would lose."""
    made = [0]

    class Stopwatch:
        def __init__(self, device):
            self.seconds = 0.0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            made[0] += 1
            self.seconds = 1.01 ** made[0]

    monkeypatch.setattr(trackers, "Timer", Stopwatch)
    own, reference = time_in_turn([int, int], "cpu", 0, 8, enough=1e9)
    found = paired_ratio(own, reference)
    assert found is not None
    assert found.value == pytest.approx(1, abs=1e-3)
    assert not found.differs
