"""What storages on the pretended device take."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from tests.helpers.gpu_free.tensors import GIB

HERE = str(Path(__file__).parent)


@dataclass
class Live:
    """One storage on the pretended device."""

    size: int
    where: str


@dataclass
class Memory:
    """What storages take.

    ``peak`` since :meth:`reset`; ``at_peak`` the largest storages then, by where they were made.
    """

    live: int = 0
    peak: int = 0
    where: str = ""
    at_peak: list[tuple[str, int]] = field(default_factory=list)
    storages: dict[int, Live] = field(default_factory=dict)
    noted: int = 0

    def reset(self) -> None:
        self.peak, self.where, self.at_peak, self.noted = self.live, "", [], 0


def _gone(memory: Memory, key: int) -> None:
    gone = memory.storages.pop(key, None)
    if gone is not None:
        memory.live -= gone.size


class TracksMemory:
    """Adds up storages as they are made and freed, each under the line of the project that made it."""

    memory: Memory
    capacity: int
    enforce: bool
    project: str

    def place(self) -> str:
        """file:line of the innermost frame of the project."""
        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            ours = self.project and file.startswith(self.project)
            if ours and "site-packages" not in file and not file.startswith(HERE):
                return f"{file.removeprefix(self.project).lstrip('/')}:{frame.f_lineno}"
            frame = frame.f_back
        return "?"

    def _track(self, t: Tensor) -> None:
        storage, memory = t.untyped_storage(), self.memory
        key = storage._cdata
        if key in memory.storages:
            return
        size = storage.nbytes()
        if self.enforce and memory.live + size > self.capacity:
            held = f"{memory.live / GIB:.1f} GiB held, {size / GIB:.1f} asked"
            raise torch.OutOfMemoryError(f"CUDA out of memory (pretended): {held}")
        large = size >= 1 << 24
        memory.storages[key] = Live(size, self.place() if large else "small")
        memory.live += size
        weakref.finalize(storage, _gone, memory, key)
        if memory.live > memory.peak:
            memory.peak = memory.live
            if memory.live > memory.noted * 1.02 + (1 << 24):
                memory.noted, memory.where = memory.live, self.place()
                sums: Counter[str] = Counter()
                for s in memory.storages.values():
                    sums[s.where] += s.size
                memory.at_peak = sums.most_common(6)
