"""VGGT's official image preprocessing for files that come without a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.data.formats.images import read_image


def load_and_preprocess(
    files: list[Path], mode: Literal["crop", "pad"] = "crop", width: int = 518, patch: int = 14
) -> Tensor:
    """Image files -> [S, 3, H, W] in [0, 1]; RGBA is put over white.

    "crop": the width becomes ``width``, the height is rounded to patches and centre-cropped to
    ``width`` at most. "pad": the longer side becomes ``width``, the shorter is rounded to patches,
    white fills up the square.

    Images that end up with different shapes are white-padded, centred, to the largest. Raises
    Bench3RError for no files, an unknown mode, or an unreadable image (named).
    """
    if not files:
        raise Bench3RError("no image files were given")
    if mode not in ("crop", "pad"):
        raise Bench3RError(f"unknown preprocessing mode {mode!r}: expected 'crop' or 'pad'")
    fit = _crop if mode == "crop" else _pad
    images = [fit(read_image(file), width, patch) for file in files]
    tallest = max(image.shape[1] for image in images)
    widest = max(image.shape[2] for image in images)
    return torch.stack([_white(image, tallest, widest) for image in images])


def _resize(image: np.ndarray, height: int, width: int) -> Tensor:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def _crop(image: np.ndarray, side: int, patch: int) -> Tensor:
    h, w = image.shape[:2]
    out = _resize(image, max(patch, round(h * side / w / patch) * patch), side)
    start = max(0, (out.shape[1] - side) // 2)
    return out[:, start : start + side]


def _pad(image: np.ndarray, side: int, patch: int) -> Tensor:
    h, w = image.shape[:2]
    if w >= h:
        size = (max(patch, round(h * side / w / patch) * patch), side)
    else:
        size = (side, max(patch, round(w * side / h / patch) * patch))
    return _white(_resize(image, *size), side, side)


def _white(image: Tensor, height: int, width: int) -> Tensor:
    """Centre ``image`` [3, h, w] on white; the smaller half of an odd margin goes first."""
    down = height - image.shape[1]
    right = width - image.shape[2]
    return F.pad(image, (right // 2, right - right // 2, down // 2, down - down // 2), value=1.0)
