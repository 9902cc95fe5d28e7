"""How glibc hands out memory, set the same for everything that is timed."""

from __future__ import annotations

import ctypes

# options of malloc.h
TRIM_THRESHOLD = -1
TOP_PAD = -2
MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: models free and take the same large blocks over and over.

    Without it up to a third of the time on a CPU goes into page faults, and more for models that
    make many small tensors. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, 1 << 30)
    mallopt(TRIM_THRESHOLD, -1)  # never give back
    mallopt(TOP_PAD, 1 << 28)
