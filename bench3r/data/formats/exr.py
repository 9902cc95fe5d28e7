"""Depth maps in OpenEXR files, which need the extra ``exr``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError


def read_exr(path: Path) -> np.ndarray:
    """The only channel [H, W] of an OpenEXR file.

    Raises Bench3RError naming the file, or the package that is needed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise Bench3RError(
            f"{path}: reading .exr needs OpenEXR: pip install 'bench3r[exr]', or convert to .npy"
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except Exception as error:  # the binding raises RuntimeError and its own types
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
    if len(channels) != 1:
        found = ", ".join(sorted(channels)) or "none"
        raise Bench3RError(f"{path}: expected one channel, found {found}")
    return next(iter(channels.values()))
