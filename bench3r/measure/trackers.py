"""Trackers as context managers: wall time and peak memory.

Nothing is measured twice, nothing is guessed.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
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


class ResidentSet:
    """Memory of this process that is resident, and its peak as the kernel keeps it.

    The kernel's peak can be set back to what is resident now, so nothing needs to be sampled.
    """

    STATM = Path("/proc/self/statm")
    STATUS = Path("/proc/self/status")
    CLEAR = Path("/proc/self/clear_refs")
    RESET = "5"  # sets the peak back, and nothing else
    PAGE = resource.getpagesize()

    def now(self) -> int:
        """Bytes that are resident."""
        try:
            return int(self.STATM.read_bytes().split()[1]) * self.PAGE
        except OSError:  # no Linux
            return int(psutil.Process().memory_info().rss)

    def reset(self) -> bool:
        """Set the peak back; False where the kernel does not let it."""
        try:
            self.CLEAR.write_text(self.RESET)
        except OSError:
            return False
        return True

    def peak(self) -> int:
        """The most bytes that were resident since the peak was set back."""
        for line in self.STATUS.read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return max(self.now(), int(line.split()[1]) * 1024)
        return self.now()


class MemoryTracker:
    """Peak memory of the block: resident set, and of a GPU the allocator's two peaks.

    ``peak_gpu`` is what tensors took, ``peak_reserved`` what the allocator held for them. These and
    the resident set are peaks that kernel and allocator keep. ``peak_driver`` is what the driver
    counted as used on the whole card, sampled every ``interval`` seconds, and so is the resident
    set where the kernel does not give its peak. Trackers nest: there is one peak for all, which
    each resets on entry, so those around it take over what was reached before.
    """

    _open: ClassVar[list[MemoryTracker]] = []
    resident = ResidentSet()

    def __init__(self, device: str = "cpu", interval: float = 0.05) -> None:
        self.device = device
        self.interval = interval
        self.baseline_rss = 0
        self.baseline_gpu: int | None = None  # tensors before the block
        self.peak_rss = 0
        self.peak_gpu: int | None = None
        self.peak_reserved: int | None = None
        self.peak_driver: int | None = None
        self.kernel_peak = False  # whether the kernel keeps the peak of the resident set
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> MemoryTracker:
        self._fold()
        self.kernel_peak = self.resident.reset()
        self.baseline_rss = self.resident.now()
        self.peak_rss = self.baseline_rss
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.baseline_gpu = torch.cuda.memory_allocated()
        self._open.append(self)
        if self.device == "cuda" or not self.kernel_peak:
            self._stop = threading.Event()
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(self.interval):
            self._look_at_driver()
            if not self.kernel_peak:
                self.peak_rss = max(self.peak_rss, self.resident.now())

    def _look_at_driver(self) -> None:
        if self.device == "cuda":
            free, total = torch.cuda.mem_get_info()
            self.peak_driver = max(self.peak_driver or 0, total - free)

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler is not None:
            self._stop.set()
            self._sampler.join()
        self._look_at_driver()
        self._fold()
        self._open.remove(self)

    def _fold(self) -> None:
        """Hand the peaks so far to all open trackers."""
        if not self._open:
            return
        now = self.resident.now()
        for tracker in self._open:
            resident = self.resident.peak() if tracker.kernel_peak else now
            tracker.peak_rss = max(tracker.peak_rss, resident)
        on_gpu = [tracker for tracker in self._open if tracker.device == "cuda"]
        if not on_gpu:
            return
        allocated = torch.cuda.max_memory_allocated()
        reserved = torch.cuda.max_memory_reserved()
        for tracker in on_gpu:
            tracker.peak_gpu = max(tracker.peak_gpu or 0, allocated)
            tracker.peak_reserved = max(tracker.peak_reserved or 0, reserved)


def time_in_turn(
    calls: list[Callable[[], object]], device: str, warmup: int, repeats: int, enough: float = 60.0
) -> list[list[float]]:
    """Seconds of each of ``calls``, one after the other in every round.

    So all see the same moments of a machine. Which comes first changes (:func:`is_backwards`), so
    that a machine which slows down favours none. After 3 rounds no more follow once the calls have
    taken ``enough`` seconds each.
    """
    for _ in range(warmup):
        for call in calls:
            call()
    seconds: list[list[float]] = [[] for _ in calls]
    turns = list(zip(calls, seconds, strict=True))
    for turn in range(repeats):
        for call, times in reversed(turns) if is_backwards(turn) else turns:
            with Timer(device) as timer:
                call()
            times.append(timer.seconds)
        if len(seconds[0]) >= 3 and sum(map(sum, seconds)) > enough * len(calls):
            break
    return seconds


def is_backwards(turn: int) -> bool:
    """Whether the calls of round ``turn`` run from the last to the first.

    0 1 1 0 1 0 0 1 ... (the parity of the binary ones, Thue and Morse's sequence): as often as not
    on every input where inputs are taken in turn, and a steady drift cancels.
    """
    return turn.bit_count() % 2 == 1


def time_calls(
    call: Callable[[], object], device: str, warmup: int, repeats: int, enough: float = 60.0
) -> list[float]:
    """As :func:`time_in_turn` for one call."""
    return time_in_turn([call], device, warmup, repeats, enough)[0]
