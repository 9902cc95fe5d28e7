"""Trackers as context managers: wall time and peak memory.

Nothing is measured twice, nothing is guessed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar

import psutil
import torch


class Timer:
    """Time of the block: wall time, or on a GPU what CUDA events around it say.

    ``seconds`` holds the result.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds = float("nan")

    def __enter__(self) -> Timer:
        if self.device == "cuda":
            torch.cuda.synchronize()
            self._first = torch.cuda.Event(enable_timing=True)
            self._last = torch.cuda.Event(enable_timing=True)
            self._first.record()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device == "cuda":
            self._last.record()
            torch.cuda.synchronize()
            self.seconds = self._first.elapsed_time(self._last) / 1000
        else:
            self.seconds = time.perf_counter() - self._start


class MemoryTracker:
    """Peak memory of the block: resident set, and of a GPU the allocator's two peaks.

    The resident set is sampled every ``interval`` seconds. ``peak_gpu`` is what tensors took,
    ``peak_reserved`` what the allocator held for them, ``peak_driver`` what the driver counted as
    used on the whole card (sampled). Trackers nest: the allocator has one peak for all, which each
    resets on entry, so those around it take over what was reached before.
    """

    _open: ClassVar[list[MemoryTracker]] = []

    def __init__(self, device: str = "cpu", interval: float = 0.005) -> None:
        self.device = device
        self.interval = interval
        self.baseline_rss = 0
        self.peak_rss = 0
        self.peak_gpu: int | None = None
        self.peak_reserved: int | None = None
        self.peak_driver: int | None = None

    def __enter__(self) -> MemoryTracker:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self.baseline_rss = self._process.memory_info().rss
        self.peak_rss = self.baseline_rss
        if self.device == "cuda":
            self._fold()
            torch.cuda.reset_peak_memory_stats()
            self._open.append(self)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(self.interval):
            self._look()

    def _look(self) -> None:
        self.peak_rss = max(self.peak_rss, self._process.memory_info().rss)
        if self.device == "cuda":
            free, total = torch.cuda.mem_get_info()
            self.peak_driver = max(self.peak_driver or 0, total - free)

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        if self.device == "cuda":
            self._fold()
            self._open.remove(self)

    def _fold(self) -> None:
        """Hand the allocator's peaks so far to all open trackers."""
        if not self._open:
            return
        allocated = torch.cuda.max_memory_allocated()
        reserved = torch.cuda.max_memory_reserved()
        for tracker in self._open:
            tracker.peak_gpu = max(tracker.peak_gpu or 0, allocated)
            tracker.peak_reserved = max(tracker.peak_reserved or 0, reserved)


def time_in_turn(
    calls: list[Callable[[], object]], device: str, warmup: int, repeats: int, enough: float = 60.0
) -> list[list[float]]:
    """Seconds of each of ``calls``, one after the other in every round.

    So all see the same moments of a machine. After 3 rounds no more follow once the calls have
    taken ``enough`` seconds each.
    """
    for _ in range(warmup):
        for call in calls:
            call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, times in zip(calls, seconds, strict=True):
            with Timer(device) as timer:
                call()
            times.append(timer.seconds)
        if len(seconds[0]) >= 3 and sum(map(sum, seconds)) > enough * len(calls):
            break
    return seconds


def time_calls(
    call: Callable[[], object], device: str, warmup: int, repeats: int, enough: float = 60.0
) -> list[float]:
    """As :func:`time_in_turn` for one call."""
    return time_in_turn([call], device, warmup, repeats, enough)[0]
