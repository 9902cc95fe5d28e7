"""How glibc hands out memory, set the same for everything that is timed."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: models free and take the same large blocks over and over.

    Without it up to a third of the time on a CPU goes into page faults, and more for models that make many small
    tensors. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    for option, value in (
        (mmap_threshold, 1 << 30),
        (trim_threshold, -1),
        (top_pad, 1 << 28),
    ):  # -1: never give back
        mallopt(option, value)
