"""ScanNet's three layouts."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from tests.helpers.worlds import World, build, intrinsics, picture, png16, surface

SCENE = "scene9000_00"


def scannet(root: Path) -> World:
    """The exported layout: unpadded numbers, one lost pose, colour larger than depth."""
    world = build()
    large = large_colour()
    folder = root / SCENE
    world.depth[0, :4, :4] = 0
    for i, n in enumerate([0, 1, 2, 9, 10, 11]):
        picture(folder / "color" / f"{n}.jpg", large.images[i])
        png16(folder / "depth" / f"{n}.png", world.depth[i], 1000)
        (folder / "pose").mkdir(exist_ok=True)
        pose = np.full((4, 4), -np.inf) if n == 9 else world.c2w[i]
        np.savetxt(folder / "pose" / f"{n}.txt", pose, fmt="%.9f")
    (folder / "intrinsic").mkdir()
    for camera, k in (("depth", world.k), ("color", large.k)):
        np.savetxt(folder / "intrinsic" / f"intrinsic_{camera}.txt", padded(k))
        np.savetxt(folder / "intrinsic" / f"extrinsic_{camera}.txt", np.eye(4))
    trimesh.PointCloud(surface()).export(folder / f"{SCENE}_vh_clean_2.ply")
    world.kept = [0, 1, 2, 4, 5]
    return world


def large_colour() -> World:
    return build(6, (96, 128), intrinsics((96, 128), 110))


def padded(k: np.ndarray) -> np.ndarray:
    """Intrinsics [3, 3] as a 4x4 matrix."""
    whole = np.eye(4)
    whole[:3, :3] = k
    return whole


def scannet_processed(root: Path) -> World:
    """CUT3R's processed layout: zero-padded numbers with gaps, poses and intrinsics in .npz."""
    world = build()
    folder = root / SCENE
    (folder / "cam").mkdir(parents=True)
    k = world.k.astype(np.float32)
    for i, n in enumerate([0, 1, 2, 9, 10, 11]):
        picture(folder / "color" / f"{n:05d}.jpg", world.images[i])
        png16(folder / "depth" / f"{n:05d}.png", world.depth[i], 1000)
        np.savez(folder / "cam" / f"{n:05d}.npz", intrinsics=k, pose=world.c2w[i])
    return world


def scannet_stream(root: Path) -> World:
    """The stream as released: JPEG and zlib, one lost pose, colour larger than depth."""
    world = build()
    folder = root / SCENE
    world.depth[0, :4, :4] = 0
    folder.mkdir()
    write_sens(folder / f"{SCENE}.sens", large_colour(), world, lost=3)
    world.kept = [0, 1, 2, 4, 5]
    return world


def write_sens(path: Path, color: World, world: World, lost: int) -> None:
    """As the official writer lays it out, field by field."""
    name = b"StructureSensor"
    matrices = [padded(color.k), np.eye(4), padded(world.k), np.eye(4)]
    count, color_height, color_width, _ = color.images.shape
    height, width = world.depth.shape[1:]
    out = [struct.pack("<IQ", 4, len(name)), name]
    out += [matrix.astype("<f4").tobytes() for matrix in matrices]
    out.append(struct.pack("<ii", 2, 1))
    out.append(struct.pack("<IIII", color_width, color_height, width, height))
    out.append(struct.pack("<fQ", 1000.0, count))
    for i, depth in enumerate(world.depth):
        jpeg = io.BytesIO()
        Image.fromarray(color.images[i]).save(jpeg, "JPEG", quality=95)
        packed = zlib.compress(np.round(depth * 1000).astype("<u2").tobytes())
        pose = np.full((4, 4), -np.inf) if i == lost else world.c2w[i]
        out.append(pose.astype("<f4").tobytes())
        out.append(struct.pack("<QQQQ", 10 * i, 10 * i + 1, len(jpeg.getvalue()), len(packed)))
        out += [jpeg.getvalue(), packed]
    out.append(struct.pack("<Q", 0))  # inertial measurements
    path.write_bytes(b"".join(out))
