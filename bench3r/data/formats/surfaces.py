"""Scanned surfaces: meshes and clouds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError


def read_points(path: Path) -> np.ndarray:
    """Vertices [N, 3] of a PLY file, mesh or cloud. Raises Bench3RError naming the file."""
    import trimesh

    if not path.is_file():
        raise Bench3RError(f"{path}: the scanned surface is missing")
    try:
        loaded = trimesh.load(path, process=False)
        points = np.asarray(loaded.vertices, dtype=np.float64)  # type: ignore[attr-defined]
    except Exception as error:  # trimesh raises whatever its readers do
        raise Bench3RError(
            f"{path}: unreadable surface ({type(error).__name__}: {error})"
        ) from error
    if not len(points) or not np.isfinite(points).all():
        raise Bench3RError(f"{path}: expected finite points, found {len(points)}")
    return points
