"""Frames at the size that a model sees, intrinsics included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from bench3r.api.scene import Frame, Intrinsics


def target_size(height: int, width: int, model_width: int, patch: int) -> tuple[int, int]:
    """Height and width that an image gets: ``model_width``, and the height of its aspect.

    The height is rounded to whole patches, as in VGGT's preprocessing.
    """
    patches = round(height * model_width / width / patch)
    return max(patch, patches * patch), model_width


def resize_frame(frame: Frame, size: tuple[int, int], intrinsics: Intrinsics = "exact") -> Frame:
    """``frame`` at ``size`` (H, W), centre-cropped to the width when taller (VGGT's "crop" mode).

    Images bicubic, depth nearest; intrinsics follow with separate factors and the half-pixel shift.
    """
    h, w = frame.image.shape[:2]
    sy = size[0] / h
    sx = size[1] / w
    picture = Image.fromarray(frame.image).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    k = frame.intrinsics.astype(np.float64).copy()
    k[0, 0] *= sx if intrinsics == "exact" else max(sx, sy)
    k[1, 1] *= sy if intrinsics == "exact" else max(sx, sy)
    k[0, 2] = (k[0, 2] + 0.5) * sx - 0.5
    k[1, 2] = (k[1, 2] + 0.5) * sy - 0.5
    depth = None if frame.depth is None else resize_nearest(frame.depth, size)
    resized = Frame(np.asarray(picture), k, frame.c2w, depth)
    return crop_height(resized, size[1]) if size[0] > size[1] else resized


def resize_nearest(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``depth`` [H, W] at ``size`` (h, w): the nearest neighbour of each pixel's centre."""
    rows = ((np.arange(size[0]) + 0.5) * depth.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * depth.shape[1] / size[1]).astype(int)
    return depth[rows[:, None], columns]


def crop_height(frame: Frame, height: int) -> Frame:
    """The central ``height`` rows of ``frame``."""
    start = (frame.image.shape[0] - height) // 2
    rows = slice(start, start + height)
    k = frame.intrinsics.copy()
    k[1, 2] -= start
    depth = None if frame.depth is None else frame.depth[rows]
    return replace(frame, image=frame.image[rows], intrinsics=k, depth=depth)
