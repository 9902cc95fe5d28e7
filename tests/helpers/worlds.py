"""One synthetic world, a sphere before a wall, written in the true on-disk formats of the real datasets.

Depth is exact (closed-form rays), so what a loader returns can be checked against truth. Every writer stores the world in
its format's own conventions and returns the frames that must come back, in order, with the world's unit in metres.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from bench3r.data.formats.mvsnet import write_cam, write_pfm

SIZE = (48, 64)
WALL, CENTRE, RADIUS = 2.0, np.array([0.1, 0.0, 1.6]), 0.3


@dataclass
class World:
    """Views of the scene: images [N, H, W, 3], depth [N, H, W] m (0 = none), c2w [N, 4, 4], k [3, 3]."""

    images: np.ndarray
    depth: np.ndarray
    c2w: np.ndarray
    k: np.ndarray
    kept: list[int] = field(default_factory=list)  # views that the loader must return


def intrinsics(size: tuple[int, int] = SIZE, focal: float = 55.0) -> np.ndarray:
    """Centre in the middle of the pixel grid."""
    return np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])


def cameras(count: int) -> np.ndarray:
    """Camera to world [N, 4, 4] on an arc, looking at the sphere."""
    out = []
    for i in range(count):
        centre = np.array([0.08 * (i % 6) - 0.2, 0.03 * (-1) ** i, 0.002 * i])
        z = (CENTRE - centre) / np.linalg.norm(CENTRE - centre)
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], 1), centre
        out.append(pose)
    return np.stack(out)


def build(
    count: int = 6,
    size: tuple[int, int] = SIZE,
    k: np.ndarray | None = None,
    fisheye: bool = False,
    rays: np.ndarray | None = None,
) -> World:
    """The world seen by ``count`` cameras; ``fisheye``: whose pixels are proportional to the angle from the axis;
    ``rays`` [H, W, 3]: of any lens, with unit depth."""
    k = intrinsics(size) if k is None else k
    v, u = np.mgrid[: size[0], : size[1]]
    local = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(u.shape)], -1)
    local = local if rays is None else rays
    if fisheye:
        angle = np.linalg.norm(local[..., :2], axis=-1, keepdims=True)
        local[..., :2] *= np.tan(angle) / np.maximum(angle, 1e-12)
    poses, images, maps = cameras(count), [], []
    for pose in poses:
        origin, along = pose[:3, 3], local @ pose[:3, :3].T  # a ray's length is its z-depth
        wall = (WALL - origin[2]) / along[..., 2]
        a, b = (along**2).sum(-1), (along * (origin - CENTRE)).sum(-1)
        inside = b**2 - a * (((origin - CENTRE) ** 2).sum() - RADIUS**2)
        ball = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
        z = np.minimum(np.where(wall > 0, wall, np.inf), np.where(ball > 0, ball, np.inf))
        points = origin + along * z[..., None]
        checker = (np.floor(points * 8).sum(-1) % 2 * 150 + 50).astype(np.uint8)
        images.append(
            np.stack([checker, np.where(ball < wall, 200, 80).astype(np.uint8), 255 - checker], -1)
        )
        maps.append(z)
    return World(np.stack(images), np.stack(maps), poses, k, list(range(count)))


def surface(count: int = 4000) -> np.ndarray:
    """Points of the wall and of the sphere's near side, metres."""
    rng = np.random.default_rng(0)
    wall = np.column_stack(
        [rng.uniform(-2, 2, count), rng.uniform(-2, 2, count), np.full(count, WALL)]
    )
    ball = rng.normal(size=(count, 3))
    ball = CENTRE + RADIUS * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    return np.concatenate([wall, ball[ball[:, 2] < CENTRE[2]]])


def png16(path: Path, depth: np.ndarray, scale: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(depth * scale).astype(np.uint16)).save(path)


def picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def scannet(root: Path) -> World:
    """The exported layout: unpadded numbers, one lost pose, colour larger than depth."""
    world, numbers, folder = build(), [0, 1, 2, 9, 10, 11], root / "scene9000_00"
    large = build(6, (96, 128), intrinsics((96, 128), 110))
    world.depth[0, :4, :4] = 0
    for i, n in enumerate(numbers):
        picture(folder / "color" / f"{n}.jpg", large.images[i])
        png16(folder / "depth" / f"{n}.png", world.depth[i], 1000)
        (folder / "pose").mkdir(exist_ok=True)
        pose = np.full((4, 4), -np.inf) if n == 9 else world.c2w[i]
        np.savetxt(folder / "pose" / f"{n}.txt", pose, fmt="%.9f")
    (folder / "intrinsic").mkdir()
    for camera, k in (("depth", world.k), ("color", large.k)):
        whole = np.eye(4)
        whole[:3, :3] = k
        np.savetxt(folder / "intrinsic" / f"intrinsic_{camera}.txt", whole)
        np.savetxt(folder / "intrinsic" / f"extrinsic_{camera}.txt", np.eye(4))
    trimesh.PointCloud(surface()).export(folder / "scene9000_00_vh_clean_2.ply")
    world.kept = [0, 1, 2, 4, 5]
    return world


def scannet_processed(root: Path) -> World:
    """CUT3R's processed layout: zero-padded numbers with gaps, poses and intrinsics in .npz."""
    world, folder = build(), root / "scene9000_00"
    for i, n in enumerate([0, 1, 2, 9, 10, 11]):
        picture(folder / "color" / f"{n:05d}.jpg", world.images[i])
        png16(folder / "depth" / f"{n:05d}.png", world.depth[i], 1000)
        (folder / "cam").mkdir(exist_ok=True)
        np.savez(
            folder / "cam" / f"{n:05d}.npz",
            intrinsics=world.k.astype(np.float32),
            pose=world.c2w[i],
        )
    return world


def scannet_stream(root: Path) -> World:
    """The stream as released: JPEG and zlib, one lost pose, colour larger than depth."""
    world, folder = build(), root / "scene9000_00"
    large = build(6, (96, 128), intrinsics((96, 128), 110))
    world.depth[0, :4, :4] = 0
    folder.mkdir()
    write_sens(folder / "scene9000_00.sens", large, world, lost=3)
    world.kept = [0, 1, 2, 4, 5]
    return world


def write_sens(path: Path, color: World, world: World, lost: int) -> None:
    """As the official writer lays it out, field by field."""
    name, whole = b"StructureSensor", []
    for k in (color.k, None, world.k, None):
        matrix = np.eye(4, dtype="<f4")
        if k is not None:
            matrix[:3, :3] = k
        whole.append(matrix)
    (height, width), size = world.depth.shape[1:], color.images.shape
    out = [
        struct.pack("<IQ", 4, len(name)),
        name,
        *(m.tobytes() for m in whole),
        struct.pack("<ii", 2, 1),
    ]
    out.append(struct.pack("<IIIIfQ", size[2], size[1], width, height, 1000.0, len(world.depth)))
    for i, depth in enumerate(world.depth):
        jpeg = io.BytesIO()
        Image.fromarray(color.images[i]).save(jpeg, "JPEG", quality=95)
        packed = zlib.compress(np.round(depth * 1000).astype("<u2").tobytes())
        pose = np.full((4, 4), -np.inf) if i == lost else world.c2w[i]
        out += [
            pose.astype("<f4").tobytes(),
            struct.pack("<QQQQ", 10 * i, 10 * i + 1, len(jpeg.getvalue()), len(packed)),
        ]
        out += [jpeg.getvalue(), packed]
    out.append(struct.pack("<Q", 0))  # inertial measurements
    path.write_bytes(b"".join(out))


def in_millimetres(world: World) -> World:
    world.depth, world.c2w = 1000 * world.depth, world.c2w.copy()
    world.c2w[:, :3, 3] *= 1000
    return world


def dtu_evaluation(root: Path) -> World:
    """The evaluation set: images count from 1, cameras from 0; another light and a training camera as decoys."""
    world = in_millimetres(build())
    for i in range(6):
        picture(root / "Rectified" / "scan901" / f"rect_{i + 1:03d}_3_r5000.png", world.images[i])
        write_pfm_at(root / "Depths_raw" / "scan901" / f"depth_map_{i:04d}.pfm", world.depth[i])
        for folder, k in (("Cameras", world.k), ("Cameras/train", world.k / 4)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            write_cam(
                root / folder / f"{i:08d}_cam.txt", np.linalg.inv(world.c2w[i]), k, world.depth[i]
            )
    picture(root / "Rectified" / "scan901" / "rect_001_0_r5000.png", 0 * world.images[0])
    points = 1000 * surface()
    (root / "Points" / "stl").mkdir(parents=True)
    trimesh.PointCloud(points).export(root / "Points" / "stl" / "stl901_total.ply")
    masks = root / "SampleSet" / "MVS Data" / "ObsMask"
    masks.mkdir(parents=True)
    box = np.array([[-300.0, -400, 1200], [500, 400, 2000]])
    savemat(
        masks / "ObsMask901_10.mat", {"ObsMask": np.ones((81, 81, 81), bool), "BB": box, "Res": 10}
    )
    savemat(masks / "Plane901.mat", {"P": np.array([[0.0], [0], [-1], [1900]])})
    return world


def dtu_test(root: Path) -> World:
    """MVSNet's test layout: no depth."""
    world = in_millimetres(build())
    for i in range(6):
        picture(root / "scan901" / "images" / f"{i:08d}.jpg", world.images[i])
        (root / "scan901" / "cams").mkdir(exist_ok=True)
        write_cam(
            root / "scan901" / "cams" / f"{i:08d}_cam.txt",
            np.linalg.inv(world.c2w[i]),
            world.k,
            world.depth[i],
        )
    return world


def write_pfm_at(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pfm(path, values.astype(np.float32))


def nrgbd(root: Path) -> World:
    """OpenGL poses, one of them nan, more than ten images, a far corner, a wrong ``depth_filtered``."""
    size = (48, 64)
    world = build(12, size, np.array([[55.4, 0, 32.0], [0, 55.4, 24.0], [0, 0, 1]]))
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
    world.kept = [i for i in range(12) if i != 7]
    return world


def quaternion_row(pose: np.ndarray) -> str:
    return " ".join(
        f"{v:.8f}" for v in [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    )


def tum(root: Path) -> World:
    """Three clocks 5 ms apart, comments, one pose missing."""
    k = np.array([[53.54, 0, 32.01], [0, 53.92, 24.76], [0, 0, 1]])
    world = build(6, SIZE, k)
    _write_tum(root / "rgbd_dataset_freiburg3_test", world)
    world.kept = [0, 1, 2, 4, 5]
    return world


def _write_tum(folder: Path, world: World) -> None:
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
    size, name = (96, 128), "rgbd_dataset_freiburg1_test"
    k[:2] *= 2
    flat, lens = build(6, size, k), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    v, u = np.mgrid[: size[0], : size[1]].astype(float)
    xd, yd = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    x, y = xd.copy(), yd.copy()
    for _ in range(50):  # the ray of each pixel of the lens's image, by fixed-point iteration
        r = x**2 + y**2
        radial = 1 + lens[0] * r + lens[1] * r**2 + lens[4] * r**3
        x = (xd - 2 * lens[2] * x * y - lens[3] * (r + 2 * x**2)) / radial
        y = (yd - lens[2] * (r + 2 * y**2) - 2 * lens[3] * x * y) / radial
    seen = build(6, size, k, rays=np.stack([x, y, np.ones_like(x)], -1))
    _write_tum(root / name, seen)
    flat.kept = [0, 1, 2, 4, 5]
    return flat


def bonn(root: Path) -> World:
    """By index; one image more than there are depth maps."""
    k = np.array([[54.2822841, 0, 31.5593520], [0, 54.2576870, 23.7756098], [0, 0, 1]])
    world, folder = build(6, SIZE, k), root / "rgbd_bonn_test"
    for i in range(6):
        picture(folder / "rgb_110" / f"{1548266532.1 + i:.5f}.png", world.images[i])
        if i < 5:
            png16(folder / "depth_110" / f"{1548266532.2 + i:.5f}.png", world.depth[i], 5000)
    rows = [f"{1548266532.1 + i:.5f} {quaternion_row(p)}" for i, p in enumerate(world.c2w)]
    (folder / "groundtruth_110.txt").write_text("\n".join(rows) + "\n")
    world.kept = [0, 1, 2, 3, 4]
    return world


def sintel(root: Path) -> World:
    """Binary cameras (world to camera) and depth."""
    world, base = build(), root / "training"
    for i in range(6):
        name = f"frame_{i + 1:04d}"
        picture(base / "final" / "alley_9" / f"{name}.png", world.images[i])
        for folder in ("depth", "camdata_left"):
            (base / folder / "alley_9").mkdir(parents=True, exist_ok=True)
        head = struct.pack("<fii", 202021.25, SIZE[1], SIZE[0])
        (base / "depth" / "alley_9" / f"{name}.dpt").write_bytes(
            head + world.depth[i].astype("<f4").tobytes()
        )
        numbers = np.concatenate([world.k.ravel(), np.linalg.inv(world.c2w[i])[:3].ravel()]).astype(
            "<f8"
        )
        (base / "camdata_left" / "alley_9" / f"{name}.cam").write_bytes(
            struct.pack("<f", 202021.25) + numbers.tobytes()
        )
    return world


def kitti(root: Path) -> World:
    """Sparse depth, no poses; the first image has no depth."""
    world, drive = build(), "2011_09_26_drive_9999_sync_02"
    holes = np.random.default_rng(0).random(world.depth.shape) < 0.8
    world.depth[holes] = 0
    for i in range(6):
        picture(root / "image_gathered" / drive / f"{i + 4:010d}.png", world.images[i])
        if i:
            png16(
                root / "groundtruth_depth_gathered" / drive / f"{i + 4:010d}.png",
                world.depth[i],
                256,
            )
    world.kept = [1, 2, 3, 4, 5]
    return world


def co3dv2(root: Path) -> World:
    """PyTorch3D's conventions; a short sequence and a broken one are left out."""
    world = build(50)
    frames, unit = [], min(SIZE) / 2
    for i, pose in enumerate(world.c2w):
        path = Path("apple") / "110_1" / "images" / f"frame{i + 1:06d}.jpg"
        picture(root / path, world.images[i])
        w2c, flip = np.linalg.inv(pose), np.diag([-1.0, -1, 1])
        frames.append(
            {
                "filepath": str(path),
                "R": (w2c[:3, :3].T @ flip).tolist(),
                "T": (flip @ w2c[:3, 3]).tolist(),
                "focal_length": [world.k[0, 0] / unit, world.k[1, 1] / unit],
                "principal_point": [
                    (SIZE[1] / 2 - 0.5 - world.k[0, 2]) / unit,
                    (SIZE[0] / 2 - 0.5 - world.k[1, 2]) / unit,
                ],
            }
        )
    lost = [{**f, "T": [1e6, 1e6, 0]} for f in frames]
    with gzip.open(root / "apple_test.jgz", "wt") as file:
        json.dump({"110_1": frames, "110_2": frames[:10], "110_3": lost}, file)
    return world


def re10k(root: Path) -> World:
    """Pi3's annotation list."""
    world, rows = build(12), []
    for i, pose in enumerate(world.c2w):
        picture(root / "000c3ab189999a83" / "images" / f"{i:04d}.png", world.images[i])
        rows.append(
            {
                "idx": i,
                "filepath": f"images/{i:04d}.png",
                "intrinsics": world.k.tolist(),
                "extrinsics": np.linalg.inv(pose).tolist(),
            }
        )
    (root / "000c3ab189999a83" / "annotations.json").write_text(json.dumps(rows))
    return world


def eth3d(root: Path) -> World:
    """A fisheye lens of twelve parameters, raw depth with inf, an empty second line for each image in images.txt."""
    world, lens_view, folder = build(), build(fisheye=True), root / "courtyard"
    calibration = folder / "dslr_calibration_jpg"
    calibration.mkdir(parents=True)
    k = world.k
    lens = f"55 55 {k[0, 2] + 0.5} {k[1, 2] + 0.5} 0 0 0 0 0 0 0 0"
    (calibration / "cameras.txt").write_text(
        f"# header\n1 THIN_PRISM_FISHEYE {SIZE[1]} {SIZE[0]} {lens}\n"
    )
    (calibration / "points3D.txt").write_text("# header\n")
    lines = ["# header"] * 4
    for i, pose in enumerate(world.c2w):
        name, w2c = f"dslr_images/DSC_{286 + i:04d}.JPG", np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(w2c[:3, :3]).as_quat()
        lines += [f"{i + 1} {w} {x} {y} {z} {w2c[0, 3]} {w2c[1, 3]} {w2c[2, 3]} 1 {name}", ""]
        picture(folder / "images" / name, lens_view.images[i])
        raw = lens_view.depth[i].astype("<f4")
        raw[10:12, 10:12] = np.inf
        (folder / "ground_truth_depth" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "ground_truth_depth" / name).write_bytes(raw.tobytes())
    (calibration / "images.txt").write_text("\n".join(lines) + "\n")
    return world


def megadepth(root: Path) -> World:
    """DUSt3R's preparation with .npy depth, some of it labels below zero."""
    world, folder = build(), root / "9001" / "0"
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


WRITERS: dict[
    str, tuple[str, Callable[[Path], World], float]
] = {  # dataset, writer, step of its depth in its unit
    "scannet": ("scannet", scannet, 1e-3),
    "scannet stream": ("scannet", scannet_stream, 1e-3),
    "scannet processed": ("scannet", scannet_processed, 1e-3),
    "dtu evaluation": ("dtu", dtu_evaluation, 1e-3),
    "dtu test": ("dtu", dtu_test, 0),
    "nrgbd": ("nrgbd", nrgbd, 1e-3),
    "tum": ("tum", tum, 2e-4),
    "tum distorted": ("tum", tum_distorted, 2e-4),
    "bonn": ("bonn", bonn, 2e-4),
    "sintel": ("sintel", sintel, 1e-6),
    "kitti": ("kitti", kitti, 1 / 256),
    "co3dv2": ("co3dv2", co3dv2, 0),
    "re10k": ("re10k", re10k, 0),
    "eth3d": ("eth3d", eth3d, 1e-6),
    "megadepth": ("megadepth", megadepth, 1e-6),
    "megadepth exr": ("megadepth", megadepth_exr, 1e-6),
}


def mipnerf360(root: Path) -> World:
    """COLMAP's model with tracks: good points, some seen by two images only, some with a large error; images_2 beside."""
    import pycolmap

    world, folder = build(9, (96, 128)), root / "bicycle"
    names = [f"_DSC{8600 + i}.JPG" for i in range(9)]
    for i, name in enumerate(names):
        picture(folder / "images" / name, world.images[i])
        picture(folder / "images_2" / name, world.images[i][::2, ::2])
    k, model = world.k, pycolmap.Reconstruction()
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(model="PINHOLE", width=128, height=96, params=parameters, camera_id=1)
    )
    rng = np.random.default_rng(0)
    row, column = rng.integers(20, 76, 60), rng.integers(20, 108, 60)
    z = world.depth[4, row, column]
    local = np.stack([(column - k[0, 2]) / k[0, 0] * z, (row - k[1, 2]) / k[1, 1] * z, z], 1)
    points = local @ world.c2w[4, :3, :3].T + world.c2w[4, :3, 3]
    seen: list[list[tuple[int, np.ndarray]]] = [[] for _ in names]
    for i, pose in enumerate(world.c2w):
        camera = (points - pose[:3, 3]) @ pose[:3, :3]
        pixel = camera[:, :2] / camera[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]
        for n in range(60):
            x, y = pixel[n]
            inside = 0 <= x < 127 and 0 <= y < 95
            if (
                inside
                and abs(world.depth[i, round(y), round(x)] - camera[n, 2]) < 0.02
                and (n < 40 or i in (0, 1))
            ):
                seen[i].append((n, pixel[n] + 0.5))
    for i, name in enumerate(names, 1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=i)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for _, xy in seen[i - 1]])
        model.add_image_with_trivial_frame(
            image, pycolmap.Rigid3d(np.linalg.inv(world.c2w[i - 1])[:3])
        )
    for n in range(60):
        elements = [
            pycolmap.TrackElement(i + 1, place)
            for i, s in enumerate(seen)
            for place, (m, _) in enumerate(s)
            if m == n
        ]
        if len(elements) > 1:
            number = model.add_point3D(points[n], pycolmap.Track(elements), np.zeros(3, np.uint8))
            model.points3D[number].error = 3.0 if n < 10 else 0.5
    (folder / "sparse" / "0").mkdir(parents=True)
    model.write_binary(str(folder / "sparse" / "0"))
    return world
