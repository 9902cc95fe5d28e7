"""Geometry and texture per patch, borders between patches, and patches of several views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

MIN_PIXELS = 6  # valid pixels that a patch needs for a plane
AGREEMENT = 0.05  # relative difference of z-depth up to which two views see the same surface
LUMINANCE = np.array([0.299, 0.587, 0.114])


class LogGradient(NamedTuple):
    """Differences of log z-depth between neighbouring pixels along one axis."""

    step: np.ndarray  # [S, H - 1, W] or [S, H, W - 1]
    valid: np.ndarray  # bool, same shape: both pixels are valid


def to_patches(maps: np.ndarray, patch: int) -> np.ndarray:
    """Maps [S, H, W] -> patches [S, h, w, patch * patch].

    Rows and columns beyond the last whole patch are left out.
    """
    s, height, width = maps.shape
    h = height // patch
    w = width // patch
    cut = maps[:, : h * patch, : w * patch].reshape(s, h, patch, w, patch)
    return cut.transpose(0, 1, 3, 2, 4).reshape(s, h, w, patch * patch)


def plane_residual(depth: np.ndarray, patch: int) -> np.ndarray:
    """How far each patch of z-depth maps [S, H, W] is from a plane: [S, h, w].

    A plane is linear in inverse z-depth, so this is the root mean square residual of a
    least-squares fit of 1 / depth in pixel coordinates, over its mean. 0 for flat surfaces of any
    slant, large at edges and on curved detail, NaN with too few valid pixels.
    """
    inverse = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), 0)
    values = to_patches(inverse, patch)
    valid = to_patches((depth > 0).astype(float), patch)
    v, u = np.mgrid[:patch, :patch].reshape(2, -1) - (patch - 1) / 2
    basis = np.stack([np.ones_like(u), u, v], -1)  # [P, 3]
    normal = np.einsum("shwp,pi,pj->shwij", valid, basis, basis) + 1e-9 * np.eye(3)
    right = np.einsum("shwp,pi->shwi", values * valid, basis)
    plane = np.linalg.solve(normal, right[..., None])[..., 0] @ basis.T  # [S, h, w, P]
    count = valid.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (values * valid).sum(-1) / count
        residual = np.sqrt(((values - plane) ** 2 * valid).sum(-1) / count) / mean
    return np.where(count >= MIN_PIXELS, residual, np.nan)


def texture(images: np.ndarray, patch: int) -> np.ndarray:
    """Mean luminance gradient [S, h, w] of each patch of images [S, H, W, 3] uint8, per pixel."""
    luminance = images.astype(float) @ LUMINANCE / 255
    rows, columns = np.gradient(luminance, axis=(1, 2))
    return to_patches(np.hypot(rows, columns), patch).mean(-1)


def spread_patches(values: np.ndarray, patch: int, size: tuple[int, int]) -> np.ndarray:
    """Patch values [S, h, w] for every pixel [S, H, W].

    NaN (or False) beyond the last whole patch.
    """
    wide = values.repeat(patch, 1).repeat(patch, 2)
    pad = ((0, 0), (0, size[0] - wide.shape[1]), (0, size[1] - wide.shape[2]))
    return np.pad(wide, pad, constant_values=False if values.dtype == bool else np.nan)


def log_gradients(depth: np.ndarray) -> tuple[LogGradient, LogGradient]:
    """Steps of log z-depth [S, H, W] from pixels to those below, and to those beside them."""
    log = np.log(np.where(depth > 0, depth, 1))
    valid = depth > 0
    down = LogGradient(np.diff(log, axis=1), valid[:, 1:] & valid[:, :-1])
    across = LogGradient(np.diff(log, axis=2), valid[:, :, 1:] & valid[:, :, :-1])
    return down, across


def border_errors(
    predicted: np.ndarray, true: np.ndarray, patch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean error of the log-depth step across each border between adjacent patches.

    ``predicted``, ``true`` [S, H, W]; returns [S, h - 1, w] (patches above each other) and
    [S, h, w - 1] (beside each other), NaN where no pixel pair is valid. An error here that is
    larger than elsewhere shows as a seam.
    """
    own = log_gradients(predicted)
    target = log_gradients(true)
    return _border_means(own[0], target[0], patch, 1), _border_means(own[1], target[1], patch, 2)


def _border_means(own: LogGradient, target: LogGradient, patch: int, axis: int) -> np.ndarray:
    """The errors of steps along ``axis`` that cross a border, averaged over each border."""
    error = np.abs(own.step - target.step)
    good = own.valid & target.valid
    count = (error.shape[axis] + 1) // patch - 1
    # the step between pixel k * patch - 1 and k * patch
    crossing = np.arange(patch - 1, error.shape[axis], patch)[:count]
    along = 3 - axis
    borders = error.shape[along] // patch
    inside = range(borders * patch)
    shape = list(error.shape)
    shape[axis] = len(crossing)
    shape[along : along + 1] = [borders, patch]
    error = error.take(crossing, axis).take(inside, along).reshape(shape)
    good = good.take(crossing, axis).take(inside, along).reshape(shape)
    counts = good.sum(along + 1)
    sums = (error * good).sum(along + 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation over the entries of ``a`` and ``b`` [...] where both are finite.

    NaN when one of them is constant, and for fewer than three entries.
    """
    good = np.isfinite(a) & np.isfinite(b)
    a = a[good]
    b = b[good]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


class Views(NamedTuple):
    """True geometry of several views."""

    depth: np.ndarray  # [S, H, W] z-depth
    c2w: np.ndarray  # [S, 4, 4]
    intrinsics: np.ndarray  # [S, 3, 3]


def corresponding_patches(views: Views, patch: int) -> np.ndarray:
    """Pairs of patches of different views that see the same surface: [N, 2].

    Indices go into the flat [S * h * w]. The centre pixel of every patch is projected into every
    other view; it corresponds when the true z-depth there agrees within 5 %.
    """
    count = len(views.depth)
    pairs = [np.zeros((0, 2), int)]
    for i in range(count):
        world = _patch_centres(views, i, patch)
        for j in range(count):
            if i != j:
                pairs.append(_seen_patches(views, i, j, world, patch))
    return np.concatenate(pairs)


def _centre_pixels(views: Views, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns [h * w] of the centre pixels of a view's patches."""
    height, width = views.depth.shape[1:]
    rows, columns = np.mgrid[: height // patch, : width // patch] * patch + patch // 2
    return rows.ravel(), columns.ravel()


def _patch_centres(views: Views, i: int, patch: int) -> np.ndarray:
    """World points [4, h * w] of the centre pixels of view ``i``, homogeneous."""
    rows, columns = _centre_pixels(views, patch)
    z = views.depth[i, rows, columns]
    pixels = np.stack([columns, rows, np.ones_like(rows)])
    rays = np.linalg.inv(views.intrinsics[i]) @ pixels
    return views.c2w[i] @ np.concatenate([rays * z, np.ones((1, len(z)))])


def _seen_patches(views: Views, i: int, j: int, world: np.ndarray, patch: int) -> np.ndarray:
    """Pairs [M, 2]: a patch of view ``i`` and the patch of view ``j`` its centre falls on."""
    _, height, width = views.depth.shape
    h = height // patch
    w = width // patch
    z = views.depth[i][_centre_pixels(views, patch)]
    camera = (np.linalg.inv(views.c2w[j]) @ world)[:3]
    pixel = views.intrinsics[j] @ camera
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = np.round(pixel[:2] / pixel[2])
        in_image = (x >= 0) & (x < w * patch) & (y >= 0) & (y < h * patch)
    inside = in_image & (z > 0) & (camera[2] > 0)
    column = np.where(inside, x, 0).astype(int)
    row = np.where(inside, y, 0).astype(int)
    seen = views.depth[j, row, column]
    near = np.abs(seen - camera[2]) < AGREEMENT * camera[2]
    same = np.flatnonzero(inside & (seen > 0) & near)
    other = (row[same] // patch) * w + column[same] // patch
    return np.stack([i * h * w + same, j * h * w + other], 1)
