"""Exceptions of methods as results, and those that are none."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from bench3r.api.errors import Bench3RError, InvalidPrediction, Unsupported
from bench3r.run.records import Status

LOST_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def disk_is_lost(error: BaseException) -> bool:
    """Whether ``error`` says that the disk is full or gone, which is no result of a method."""
    return isinstance(error, OSError) and error.errno in LOST_DISK


def failure(error: BaseException) -> tuple[Status, str]:
    """Status and reason of an exception."""
    if isinstance(error, InvalidPrediction):
        return "invalid", str(error)
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    kind = type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "oom", f"{kind}: {error}".splitlines()[0]
    if isinstance(error, Bench3RError):
        return "error", str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "error", f"{kind}: {error} ({Path(frame.filename).name}:{frame.lineno})"
