"""Colour images and depth maps that are stored as images or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench3r.api.errors import Bench3RError


def read_image(path: Path) -> np.ndarray:
    """RGB [H, W, 3] uint8; RGBA is put over white. Raises Bench3RError naming the file."""
    try:
        with Image.open(path) as file:
            image = (
                file.convert("RGBA") if file.mode in ("RGBA", "LA", "P") else file.convert("RGB")
            )
            if image.mode == "RGBA":
                image = Image.alpha_composite(
                    Image.new("RGBA", image.size, (255,) * 4), image
                ).convert("RGB")
            return np.asarray(image)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: image is missing") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Bench3RError(f"{path}: unreadable image ({error})") from error


def read_depth_png(path: Path, scale: float, invalid: tuple[int, ...] = (0,)) -> np.ndarray:
    """16-bit PNG -> float32 depth in units (value / ``scale``), the ``invalid`` values as 0."""
    try:
        with Image.open(path) as file:
            raw = np.asarray(file)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
    if raw.ndim != 2 or raw.dtype.kind not in "ui" or raw.dtype.itemsize < 2:
        raise Bench3RError(
            f"{path}: expected a 16-bit single-channel PNG, got {raw.dtype} {raw.shape}"
        )
    return np.where(np.isin(raw, invalid), 0, raw / scale).astype(np.float32)


def read_depth_npy(path: Path) -> np.ndarray:
    """Depth map as it is stored in a .npy file, never unpickled. Raises Bench3RError naming the file."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except (ValueError, OSError, EOFError) as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
