"""Geometry and texture per patch, borders between patches, and how recursion depth relates to them."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

MIN_PIXELS = 6  # valid pixels that a patch needs for a plane


def to_patches(maps: np.ndarray, patch: int) -> np.ndarray:
    """Maps [S, H, W] -> patches [S, h, w, patch * patch]; rows and columns beyond the last whole patch are left out."""
    s, height, width = maps.shape
    h, w = height // patch, width // patch
    cut = maps[:, : h * patch, : w * patch].reshape(s, h, patch, w, patch)
    return cut.transpose(0, 1, 3, 2, 4).reshape(s, h, w, patch * patch)


def plane_residual(depth: np.ndarray, patch: int) -> np.ndarray:
    """How far each patch of depth maps [S, H, W] is from a plane: [S, h, w], NaN with too few valid pixels.

    A plane is linear in inverse depth, so this is the root mean square residual of a least-squares fit of 1 / depth in
    pixel coordinates, over its mean. 0 for flat surfaces of any slant, large at edges and on curved detail.
    """
    inverse = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), 0)
    values, valid = to_patches(inverse, patch), to_patches((depth > 0).astype(float), patch)
    v, u = np.mgrid[:patch, :patch].reshape(2, -1) - (patch - 1) / 2
    basis = np.stack([np.ones_like(u), u, v], -1)  # [P, 3]
    normal = np.einsum("shwp,pi,pj->shwij", valid, basis, basis) + 1e-9 * np.eye(3)
    right = np.einsum("shwp,pi->shwi", values * valid, basis)
    plane = np.linalg.solve(normal, right[..., None])[..., 0] @ basis.T  # [S, h, w, P]
    count = valid.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.sqrt(((values - plane) ** 2 * valid).sum(-1) / count) / (
            (values * valid).sum(-1) / count
        )
    return np.where(count >= MIN_PIXELS, residual, np.nan)


def texture(images: np.ndarray, patch: int) -> np.ndarray:
    """Mean luminance gradient of each patch of images [S, H, W, 3] uint8: [S, h, w] in luminance per pixel."""
    luminance = images.astype(float) @ np.array([0.299, 0.587, 0.114]) / 255
    rows, columns = np.gradient(luminance, axis=(1, 2))
    return to_patches(np.hypot(rows, columns), patch).mean(-1)


def spread_patches(values: np.ndarray, patch: int, size: tuple[int, int]) -> np.ndarray:
    """Patch values [S, h, w] for every pixel [S, H, W]; NaN (or False) beyond the last whole patch."""
    wide = values.repeat(patch, 1).repeat(patch, 2)
    pad = ((0, 0), (0, size[0] - wide.shape[1]), (0, size[1] - wide.shape[2]))
    return np.pad(wide, pad, constant_values=False if values.dtype == bool else np.nan)


def log_gradients(depth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Differences of log depth [S, H, W] between pixels below and beside each other, and where both are valid."""
    log = np.log(np.where(depth > 0, depth, 1))
    valid = depth > 0
    return [
        (np.diff(log, axis=1), valid[:, 1:] & valid[:, :-1]),
        (np.diff(log, axis=2), valid[:, :, 1:] & valid[:, :, :-1]),
    ]


def border_errors(
    predicted: np.ndarray, truth: np.ndarray, patch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean error of the log-depth step across each border between vertically and horizontally adjacent patches.

    ``predicted``, ``truth`` [S, H, W]; returns [S, h - 1, w] and [S, h, w - 1], NaN where no pixel pair is valid. An
    error here that is larger than elsewhere shows as a seam.
    """
    out = []
    for axis, ((p, p_ok), (t, t_ok)) in enumerate(
        zip(log_gradients(predicted), log_gradients(truth), strict=True), start=1
    ):
        error, good = np.abs(p - t), p_ok & t_ok
        rows = np.arange(
            patch - 1, error.shape[axis], patch
        )  # the step between pixel k * patch - 1 and k * patch
        count = predicted.shape[axis] // patch - 1
        error, good = error.take(rows[:count], axis), good.take(rows[:count], axis)
        along = 3 - axis
        whole = error.shape[along] // patch * patch
        error, good = error.take(range(whole), along), good.take(range(whole), along)
        shape = list(error.shape)
        shape[along : along + 1] = [whole // patch, patch]
        error, good = error.reshape(shape), good.reshape(shape)
        sums, counts = (error * good).sum(along + 1), good.sum(along + 1)
        out.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    return out[0], out[1]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation over the entries where both are finite; NaN when one of them is constant."""
    good = np.isfinite(a) & np.isfinite(b)
    a, b = a[good], b[good]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def corresponding_patches(
    depth: np.ndarray, c2w: np.ndarray, intrinsics: np.ndarray, patch: int
) -> np.ndarray:
    """Pairs of patches of different views that see the same surface: [N, 2], indices into the flat [S * h * w].

    The centre pixel of every patch is projected into every other view; it corresponds when the true depth there agrees
    within 5 %. ``depth`` [S, H, W], ``c2w`` [S, 4, 4], ``intrinsics`` [S, 3, 3].
    """
    s, height, width = depth.shape
    h, w = height // patch, width // patch
    rows, columns = (np.mgrid[:h, :w] * patch + patch // 2).reshape(2, -1)
    pairs = []
    for i in range(s):
        z = depth[i, rows, columns]
        rays = np.linalg.inv(intrinsics[i]) @ np.stack([columns, rows, np.ones_like(rows)])
        world = c2w[i] @ np.concatenate([rays * z, np.ones((1, len(z)))])
        for j in (j for j in range(s) if j != i):
            camera = (np.linalg.inv(c2w[j]) @ world)[:3]
            pixel = intrinsics[j] @ camera
            with np.errstate(invalid="ignore", divide="ignore"):
                x, y = np.round(pixel[:2] / pixel[2])
                inside = (
                    (z > 0)
                    & (camera[2] > 0)
                    & (x >= 0)
                    & (x < w * patch)
                    & (y >= 0)
                    & (y < h * patch)
                )
            xi, yi = np.where(inside, x, 0).astype(int), np.where(inside, y, 0).astype(int)
            seen = depth[j, yi, xi]
            same = inside & (seen > 0) & (np.abs(seen - camera[2]) < 0.05 * camera[2])
            own = np.flatnonzero(same)
            other = (yi[same] // patch) * w + xi[same] // patch
            pairs.append(np.stack([i * h * w + own, j * h * w + other], 1))
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), int)
