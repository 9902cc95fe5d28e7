"""Colour images and depth maps that are stored as images or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench3r.api.errors import Bench3RError

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
TRANSPARENT = ("RGBA", "LA", "P")  # PIL's modes that may have an alpha channel


def read_image(path: Path) -> np.ndarray:
    """RGB [H, W, 3] uint8; RGBA is put over white. Raises Bench3RError naming the file."""
    try:
        with Image.open(path) as file:
            return np.asarray(_over_white(file))
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: image is missing") from error
    except UNREADABLE as error:
        raise Bench3RError(f"{path}: unreadable image ({error})") from error


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode not in TRANSPARENT:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def read_depth_png(path: Path, scale: float, invalid: tuple[int, ...] = (0,)) -> np.ndarray:
    """16-bit PNG -> z-depth [H, W] float32 in units, value / ``scale``; ``invalid`` values are 0.

    Raises Bench3RError naming the file.
    """
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
    """Depth map [H, W] as it is stored in a .npy file, never unpickled.

    Raises Bench3RError naming the file.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except (ValueError, OSError, EOFError) as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error


def known_depth(raw: np.ndarray) -> np.ndarray:
    """Depth [H, W] float32 with 0 where ``raw`` is not a positive number."""
    return np.where(np.isfinite(raw) & (raw > 0), raw, 0).astype(np.float32)


def check_same_size(pixels: np.ndarray, image: np.ndarray, path: Path) -> None:
    """Raise Bench3RError unless the ``pixels`` [H, W] of ``path`` match an image [H, W, 3]."""
    if pixels.shape != image.shape[:2]:
        raise Bench3RError(
            f"{path}: its size {pixels.shape} and the image's {image.shape[:2]} differ"
        )
