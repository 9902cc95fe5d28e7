"""One GPU for one job on a workstation: jobs that run side by side each claim a GPU of their own by a file lock.

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
    return sorted(
        int(m[1]) for p in devices.glob("nvidia*") if (m := re.fullmatch(r"nvidia(\d+)", p.name))
    )


def claim(
    wait: float = 3600.0, devices: Path = Path("/dev"), locks: Path | None = None
) -> int | None:
    """Claim a free GPU for this process and those it starts; its number, or None where somebody chose already.

    Raises Bench3RError when there is no GPU, or none became free within ``wait`` seconds.
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
            file = (folder / str(number)).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            _held.append(file)
            os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
            return number
        time.sleep(min(1.0, wait / 10))
    raise Bench3RError(
        f"none of the {len(numbers)} GPUs became free within {wait:g} s: run fewer jobs side by side"
    )
