"""Layouts of objects and photographs: DTU's two, CO3Dv2 and MegaDepth's two."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import trimesh
from scipy.io import savemat

from bench3r.data.formats.mvsnet import write_cam, write_pfm
from tests.helpers.worlds import SIZE, World, build, in_millimetres, picture, surface


def dtu_evaluation(root: Path) -> World:
    """The evaluation set: images count from 1, cameras from 0.

    Another light and a training camera are decoys.
    """
    world = in_millimetres(build())
    scans = root / "Rectified" / "scan901"
    maps = root / "Depths_raw" / "scan901"
    maps.mkdir(parents=True)
    for i in range(6):
        picture(scans / f"rect_{i + 1:03d}_3_r5000.png", world.images[i])
        write_pfm(maps / f"depth_map_{i:04d}.pfm", world.depth[i].astype(np.float32))
        w2c = np.linalg.inv(world.c2w[i])
        write_cam(root / "Cameras" / f"{i:08d}_cam.txt", w2c, world.k, world.depth[i])
        write_cam(root / "Cameras/train" / f"{i:08d}_cam.txt", w2c, world.k / 4, world.depth[i])
    picture(scans / "rect_001_0_r5000.png", 0 * world.images[0])
    (root / "Points" / "stl").mkdir(parents=True)
    trimesh.PointCloud(1000 * surface()).export(root / "Points" / "stl" / "stl901_total.ply")
    write_observation(root / "SampleSet" / "MVS Data" / "ObsMask")
    return world


def write_observation(folder: Path) -> None:
    """What the scanner saw of scan 901: all of a box, and the table's plane."""
    folder.mkdir(parents=True)
    box = np.array([[-300.0, -400, 1200], [500, 400, 2000]])
    observed = {"ObsMask": np.ones((81, 81, 81), bool), "BB": box, "Res": 10}
    savemat(folder / "ObsMask901_10.mat", observed)
    savemat(folder / "Plane901.mat", {"P": np.array([[0.0], [0], [-1], [1900]])})


def dtu_test(root: Path) -> World:
    """MVSNet's test layout: no depth."""
    world = in_millimetres(build())
    scan = root / "scan901"
    for i in range(6):
        picture(scan / "images" / f"{i:08d}.jpg", world.images[i])
        w2c = np.linalg.inv(world.c2w[i])
        write_cam(scan / "cams" / f"{i:08d}_cam.txt", w2c, world.k, world.depth[i])
    return world


def co3dv2(root: Path) -> World:
    """PyTorch3D's conventions; a short sequence and a broken one are left out."""
    world = build(50)
    frames = []
    unit = min(SIZE) / 2
    flip = np.diag([-1.0, -1, 1])
    px = (SIZE[1] / 2 - 0.5 - world.k[0, 2]) / unit
    py = (SIZE[0] / 2 - 0.5 - world.k[1, 2]) / unit
    for i, pose in enumerate(world.c2w):
        path = Path("apple") / "110_1" / "images" / f"frame{i + 1:06d}.jpg"
        picture(root / path, world.images[i])
        w2c = np.linalg.inv(pose)
        frame = {
            "filepath": str(path),
            "R": (w2c[:3, :3].T @ flip).tolist(),
            "T": (flip @ w2c[:3, 3]).tolist(),
            "focal_length": [world.k[0, 0] / unit, world.k[1, 1] / unit],
            "principal_point": [px, py],
        }
        frames.append(frame)
    lost = [{**frame, "T": [1e6, 1e6, 0]} for frame in frames]
    with gzip.open(root / "apple_test.jgz", "wt") as file:
        json.dump({"110_1": frames, "110_2": frames[:10], "110_3": lost}, file)
    return world


def megadepth(root: Path) -> World:
    """DUSt3R's preparation with .npy depth, some of it labels below zero."""
    world = build()
    folder = root / "9001" / "0"
    for i in range(6):
        picture(folder / f"{i:04d}.jpg", world.images[i])
        raw = world.depth[i].astype(np.float32)
        raw[:2] = -1
        world.depth[i, :2] = 0
        np.save(folder / f"{i:04d}.npy", raw)
        np.savez(folder / f"{i:04d}.npz", intrinsics=world.k, cam2world=world.c2w[i])
    return world


def megadepth_exr(root: Path) -> World:
    """The same with OpenEXR depth, one channel of float32, as OpenCV writes it."""
    import OpenEXR

    world = megadepth(root)
    for path in root.rglob("*.npy"):
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"Y": np.load(path)}) as file:
            file.write(str(path.with_suffix(".exr")))
        path.unlink()
    return world
