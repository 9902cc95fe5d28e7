"""Files of the MVSNet family (DTU, BlendedMVS, DTU64): camera files, pair files, PFM depth maps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError


def read_cam(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """MVSNet camera file -> world-to-camera [4, 4] and intrinsics [3, 3]. Raises Bench3RError naming the file."""
    try:
        tokens = path.read_text().split()
        if tokens[0] != "extrinsic" or tokens[17] != "intrinsic":
            raise ValueError("the words 'extrinsic' and 'intrinsic' are not where they belong")
        numbers = [float(t) for t in (*tokens[1:17], *tokens[18:27])]
        if len(numbers) != 25:
            raise ValueError(f"{len(numbers)} numbers, expected 16 + 9")
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: camera file is missing") from error
    except (ValueError, IndexError, OSError, UnicodeDecodeError) as error:
        raise Bench3RError(f"{path}: not an MVSNet camera file ({error})") from error
    return np.array(numbers[:16]).reshape(4, 4), np.array(numbers[16:]).reshape(3, 3)


def write_cam(path: Path, w2c: np.ndarray, k: np.ndarray, depth: np.ndarray, tail: int = 2) -> None:
    """Write a camera file with the depth range of ``depth`` in 2 or 4 numbers (min, interval, count, max)."""
    hit = depth[depth > 0]
    low, high = (float(hit.min()), float(hit.max())) if hit.size else (0.0, 0.0)
    numbers = [f"{low:.6f}", f"{(high - low) / 192:.8f}", "192.0", f"{high:.6f}"][:tail]
    rows = ["extrinsic", *(" ".join(f"{v:.9f}" for v in r) for r in w2c), ""]
    rows += ["intrinsic", *(" ".join(f"{v:.9f}" for v in r) for r in k), "", " ".join(numbers)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def write_pairs(path: Path, frames: int) -> None:
    """Pair file: for every view the others, nearest first."""
    lines = [str(frames)]
    for i in range(frames):
        others = sorted((j for j in range(frames) if j != i), key=lambda j: (abs(i - j), j))
        lines += [
            str(i),
            " ".join([str(len(others)), *(f"{j} {1 / abs(i - j):.3f}" for j in others)]),
        ]
    path.write_text("\n".join(lines) + "\n")


def read_pfm(path: Path) -> np.ndarray:
    """Single-channel PFM -> float32 [H, W], top row first. Raises Bench3RError naming the file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except OSError as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
    header = re.match(rb"Pf\s+(\d+)\s+(\d+)\s+(-?\d*\.?\d+(?:[eE][-+]?\d+)?)\s", data)
    if header is None:
        raise Bench3RError(
            f"{path}: not a single-channel PFM file (expected 'Pf', width, height and scale)"
        )
    width, height, scale = int(header[1]), int(header[2]), float(header[3])
    body = data[header.end() :]
    if len(body) != 4 * width * height:
        raise Bench3RError(
            f"{path}: {len(body)} bytes of pixels, expected {4 * width * height} for {width} x {height}"
        )
    values = np.frombuffer(body, "<f4" if scale < 0 else ">f4").reshape(height, width)
    return values[::-1].astype(np.float32)


def write_pfm(path: Path, values: np.ndarray) -> None:
    """Write float32 [H, W] as little-endian PFM, bottom row first as the format asks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    path.write_bytes(b"Pf\n%d %d\n-1.0\n" % (width, height) + values[::-1].astype("<f4").tobytes())
