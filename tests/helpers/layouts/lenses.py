"""Layouts with lenses that distort, and with lists matched by time: TUM's two, and ETH3D."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.helpers.worlds import (
    SIZE,
    World,
    build,
    fisheye_rays,
    intrinsics,
    picture,
    png16,
    quaternion_row,
)


def tum(root: Path) -> World:
    """Three clocks 5 ms apart, comments, one pose missing."""
    k = np.array([[53.54, 0, 32.01], [0, 53.92, 24.76], [0, 0, 1]])
    world = build(6, SIZE, k)
    write_tum(root / "rgbd_dataset_freiburg3_test", world)
    world.kept = [0, 1, 2, 4, 5]
    return world


def write_tum(folder: Path, world: World) -> None:
    """The lists and files of one sequence."""
    rows: dict[str, list[str]] = {n: ["# header"] for n in ("rgb", "depth", "groundtruth")}
    for i in range(6):
        times = {n: 1305031102.175304 + 0.1 * i + 0.005 * j for j, n in enumerate(rows)}
        picture(folder / "rgb" / f"{times['rgb']:.6f}.png", world.images[i])
        png16(folder / "depth" / f"{times['depth']:.6f}.png", world.depth[i], 5000)
        rows["rgb"].append(f"{times['rgb']:.6f} rgb/{times['rgb']:.6f}.png")
        rows["depth"].append(f"{times['depth']:.6f} depth/{times['depth']:.6f}.png")
        if i != 3:
            rows["groundtruth"].append(f"{times['groundtruth']:.4f} {quaternion_row(world.c2w[i])}")
    for name, lines in rows.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def tum_distorted(root: Path) -> World:
    """freiburg1: the world as its lens shows it, pixel by pixel through OpenCV's formula."""
    k = np.array([[51.73, 0, 31.86], [0, 51.65, 25.53], [0, 0, 1]])
    size = (96, 128)
    k[:2] *= 2
    flat = build(6, size, k)
    seen = build(6, size, k, rays=distorted_rays(size, k))
    write_tum(root / "rgbd_dataset_freiburg1_test", seen)
    flat.kept = [0, 1, 2, 4, 5]
    return flat


def distorted_rays(size: tuple[int, int], k: np.ndarray) -> np.ndarray:
    """The ray [H, W, 3] of each pixel of freiburg1's image, by fixed-point iteration."""
    k1, k2, p1, p2, k3 = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    v, u = np.mgrid[: size[0], : size[1]].astype(float)
    xd = (u - k[0, 2]) / k[0, 0]
    yd = (v - k[1, 2]) / k[1, 1]
    x, y = xd.copy(), yd.copy()
    for _ in range(50):
        r = x**2 + y**2
        radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
        x = (xd - 2 * p1 * x * y - p2 * (r + 2 * x**2)) / radial
        y = (yd - p1 * (r + 2 * y**2) - 2 * p2 * x * y) / radial
    return np.stack([x, y, np.ones_like(x)], -1)


def eth3d(root: Path) -> World:
    """A fisheye lens of twelve parameters, raw depth with inf.

    images.txt has an empty second line for each image.
    """
    world = build()
    seen = build(rays=fisheye_rays(SIZE, intrinsics()))
    folder = root / "courtyard"
    calibration = folder / "dslr_calibration_jpg"
    calibration.mkdir(parents=True)
    lens = f"55 55 {world.k[0, 2] + 0.5} {world.k[1, 2] + 0.5} 0 0 0 0 0 0 0 0"
    camera = f"# header\n1 THIN_PRISM_FISHEYE {SIZE[1]} {SIZE[0]} {lens}\n"
    (calibration / "cameras.txt").write_text(camera)
    (calibration / "points3D.txt").write_text("# header\n")
    lines = ["# header"] * 4
    (folder / "ground_truth_depth" / "dslr_images").mkdir(parents=True)
    for i, pose in enumerate(world.c2w):
        name = f"dslr_images/DSC_{286 + i:04d}.JPG"
        w2c = np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(w2c[:3, :3]).as_quat()
        lines += [f"{i + 1} {w} {x} {y} {z} {w2c[0, 3]} {w2c[1, 3]} {w2c[2, 3]} 1 {name}", ""]
        picture(folder / "images" / name, seen.images[i])
        raw = seen.depth[i].astype("<f4")
        raw[10:12, 10:12] = np.inf
        (folder / "ground_truth_depth" / name).write_bytes(raw.tobytes())
    (calibration / "images.txt").write_text("\n".join(lines) + "\n")
    return world
