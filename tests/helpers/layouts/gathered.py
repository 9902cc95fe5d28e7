"""Layouts that are read by index or number: NRGBD, Bonn, Sintel, KITTI, RealEstate10K."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from tests.helpers.worlds import SIZE, World, build, picture, png16, quaternion_row


def nrgbd(root: Path) -> World:
    """OpenGL poses, one of them nan, more than ten images.

    A far corner, and a wrong ``depth_filtered``.
    """
    world = build(12, SIZE, np.array([[55.4, 0, 32.0], [0, 55.4, 24.0], [0, 0, 1]]))
    folder = root / "breakfast_room"
    flipped = world.c2w.copy()
    flipped[:, :, 1:3] *= -1
    flipped[7] = np.nan
    for i in range(12):
        picture(folder / "images" / f"img{i}.png", world.images[i])
        far = world.depth[i].copy()
        far[:3, :3] = 12.0
        png16(folder / "depth" / f"depth{i}.png", far, 1000)
        png16(folder / "depth_filtered" / f"depth{i}.png", 0 * far + 1, 1000)
        world.depth[i, :3, :3] = 0
    np.savetxt(folder / "poses.txt", flipped.reshape(-1, 4))
    (folder / "focal.txt").write_text("55.4\n")
    world.kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    return world


def bonn(root: Path) -> World:
    """By index; one image more than there are depth maps."""
    k = np.array([[54.2822841, 0, 31.5593520], [0, 54.2576870, 23.7756098], [0, 0, 1]])
    world = build(6, SIZE, k)
    folder = root / "rgbd_bonn_test"
    rows = []
    for i, pose in enumerate(world.c2w):
        picture(folder / "rgb_110" / f"{1548266532.1 + i:.5f}.png", world.images[i])
        if i < 5:
            png16(folder / "depth_110" / f"{1548266532.2 + i:.5f}.png", world.depth[i], 5000)
        rows.append(f"{1548266532.1 + i:.5f} {quaternion_row(pose)}")
    (folder / "groundtruth_110.txt").write_text("\n".join(rows) + "\n")
    world.kept = [0, 1, 2, 3, 4]
    return world


def sintel(root: Path) -> World:
    """Binary cameras (world to camera) and depth."""
    world = build()
    base = root / "training"
    for folder in ("depth", "camdata_left"):
        (base / folder / "alley_9").mkdir(parents=True)
    for i in range(6):
        name = f"frame_{i + 1:04d}"
        picture(base / "final" / "alley_9" / f"{name}.png", world.images[i])
        depth = struct.pack("<fii", 202021.25, SIZE[1], SIZE[0])
        depth += world.depth[i].astype("<f4").tobytes()
        (base / "depth" / "alley_9" / f"{name}.dpt").write_bytes(depth)
        w2c = np.linalg.inv(world.c2w[i])[:3]
        camera = struct.pack("<f", 202021.25)
        camera += world.k.astype("<f8").tobytes() + w2c.astype("<f8").tobytes()
        (base / "camdata_left" / "alley_9" / f"{name}.cam").write_bytes(camera)
    return world


def kitti(root: Path) -> World:
    """Sparse depth, no poses; the first image has no depth."""
    world = build()
    drive = "2011_09_26_drive_9999_sync_02"
    unknown = np.random.default_rng(0).random(world.depth.shape) < 0.8
    world.depth[unknown] = 0
    maps = root / "groundtruth_depth_gathered" / drive
    for i in range(6):
        picture(root / "image_gathered" / drive / f"{i + 4:010d}.png", world.images[i])
        if i:
            png16(maps / f"{i + 4:010d}.png", world.depth[i], 256)
    world.kept = [1, 2, 3, 4, 5]
    return world


def re10k(root: Path) -> World:
    """Pi3's annotation list."""
    world = build(12)
    folder = root / "000c3ab189999a83"
    rows = []
    for i, pose in enumerate(world.c2w):
        picture(folder / "images" / f"{i:04d}.png", world.images[i])
        row = {
            "idx": i,
            "filepath": f"images/{i:04d}.png",
            "intrinsics": world.k.tolist(),
            "extrinsics": np.linalg.inv(pose).tolist(),
        }
        rows.append(row)
    (folder / "annotations.json").write_text(json.dumps(rows))
    return world
