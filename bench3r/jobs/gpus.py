"""One GPU for one job on a workstation: jobs that run side by side each claim one by a file lock.

SLURM and users who set CUDA_VISIBLE_DEVICES have chosen already; then nothing is claimed.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TextIO

from bench3r.api.errors import Bench3RError

_held: list[TextIO] = []  # locks last as long as the process


def present(devices: Path = Path("/dev")) -> list[int]:
    """Numbers of this machine's NVIDIA GPUs."""
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    return sorted(int(match[1]) for match in found if match)


def claim(
    wait: float = 3600.0, devices: Path = Path("/dev"), locks: Path | None = None
) -> int | None:
    """Claim a free GPU for this process and those it starts.

    Returns its number, or None where somebody chose already. Raises Bench3RError when there is no
    GPU, or none became free within ``wait`` seconds.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return None
    numbers = present(devices)
    if not numbers:
        raise Bench3RError("device: cuda, but this machine has no NVIDIA GPU")
    folder = locks or Path(tempfile.gettempdir()) / f"bench3r-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    start = time.monotonic()
    while time.monotonic() - start <= wait:
        for number in numbers:
            if _lock(folder / str(number)):
                os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
                return number
        time.sleep(min(1.0, wait / 10))
    busy = f"none of the {len(numbers)} GPUs became free within {wait:g} s"
    raise Bench3RError(f"{busy}: run fewer jobs side by side")


def claim_for(device: str) -> None:
    """Claim a GPU for a job of a run on ``device``, if that is "cuda".

    Raises Bench3RError as :func:`claim` does.
    """
    if device == "cuda":
        claim()


def _lock(path: Path) -> bool:
    """Whether the lock was free; then it is held as long as this process lives."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _held.append(file)
    return True
