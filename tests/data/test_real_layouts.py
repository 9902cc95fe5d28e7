"""Every loader on its true on-disk format: order, poses, intrinsics, depth, gate; and one clear error for what is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data import reprojection
from bench3r.data.load import load_scene
from tests.helpers.worlds import WRITERS, mipnerf360, scannet


def opened(case, root):
    name, write, step = WRITERS[case]
    world = write(root)
    return DATASETS.get(name)(root), world, step


@pytest.mark.parametrize("case", WRITERS)
def test_the_true_format_reads_back(case, tmp_path):
    dataset, world, step = opened(case, tmp_path)
    (scene,) = dataset.scenes()
    names = dataset.frames(scene)
    assert len(names) == len(world.kept)
    frames = [dataset.read(scene, n) for n in names]
    for i, frame in zip(world.kept, frames, strict=True):
        assert frame.image.shape == (*world.depth.shape[1:], 3)
        if dataset.has_pose:
            scale = 1000 if dataset.unit == "mm" else 1
            np.testing.assert_allclose(frame.c2w, world.c2w[i], atol=1e-5 * scale)
            np.testing.assert_allclose(frame.intrinsics, world.k, atol=1e-4)
        if step == 0:
            assert frame.depth is None
            continue
        if case in ("eth3d", "tum distorted"):  # resampled: pixels move by up to half of one
            known = frame.depth > 0
            assert known.mean() > 0.9  # all but a hole, and the corners that the lens did not see
            error = np.abs(frame.depth - world.depth[i])[known]
            assert np.median(error) < 2e-3
            assert np.quantile(error, 0.9) < 0.03
            continue
        np.testing.assert_array_equal(frame.depth > 0, world.depth[i] > 0)
        np.testing.assert_allclose(frame.depth, world.depth[i], atol=0.51 * step)
    if step and dataset.has_pose:
        assert reprojection.check(frames, case).median < 0.01


def test_published_treatment_leaves_tums_distortion_in(tmp_path):
    WRITERS["tum distorted"][1](tmp_path)
    removed, left = (DATASETS.get("tum")(tmp_path, how) for how in ("exact", "pi3"))
    scene = removed.scenes()[0]
    name = removed.frames(scene)[0]
    a, b = removed.read(scene, name), left.read(scene, name)
    np.testing.assert_allclose(a.intrinsics, b.intrinsics)
    k, (k1, k2, p1, p2, k3) = a.intrinsics, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    for row, column in ((10, 12), (48, 64), (80, 110)):  # OpenCV's formula, a pixel at a time
        x, y = (column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1]
        r = x**2 + y**2
        radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
        u = k[0, 0] * (x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2)) + k[0, 2]
        v = k[1, 1] * (y * radial + p1 * (r + 2 * y**2) + 2 * p2 * x * y) + k[1, 2]
        seen = [
            map_coordinates(b.image[..., c].astype(float), [[v], [u]], order=1)[0] for c in range(3)
        ]
        np.testing.assert_allclose(a.image[row, column], seen, atol=1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda b: b"\x03\0\0\0" + b[4:],
            r"scene9000_00\.sens: no \.sens stream of version 4 \(starts with 3\)",
        ),
        (lambda b: b[:-2000], r"ends inside frame 5 of 6"),
        (lambda b: b[:40], "ends inside the header"),
        (lambda b: b"", "ends inside"),
        (lambda b: b[:4] + b"\xff" * 8 + b[12:], "ends inside the sensor's name"),
        (lambda b: b[:283] + b"\x07" + b[284:], "colour codec 7"),
        (lambda b: b.replace(b"\xff\xd8\xff", b"\0\0\0"), "unreadable colour image of frame 0"),
        (lambda b: b.replace(b"\x78\x9c", b"\0\0"), "unreadable depth of frame 0"),
    ],
)
def test_a_damaged_stream_is_named(spoil, says, tmp_path):
    WRITERS["scannet stream"][1](tmp_path)
    path = tmp_path / "scene9000_00" / "scene9000_00.sens"
    path.write_bytes(spoil(path.read_bytes()))
    dataset = DATASETS.get("scannet")(tmp_path)
    with pytest.raises(Bench3RError, match=says):
        dataset.read("scene9000_00", dataset.frames("scene9000_00")[0])


GATED = (
    "scannet",
    "scannet stream",
    "tum distorted",
    "nrgbd",
    "tum",
    "bonn",
    "sintel",
    "eth3d",
    "dtu evaluation",
    "megadepth",
)


@pytest.mark.parametrize(("case", "mistake"), [
    (c, m) for c in GATED for m in ("inverted", "transposed", "opengl", "focal") if (c, m) != ("bonn", "focal")
])  # fmt: skip  # Bonn's five views lie too close together to tell a focal length on a flat wall
def test_a_wrong_convention_fails_the_gate(case, mistake, tmp_path, monkeypatch):
    dataset, _, _ = opened(case, tmp_path)
    (scene,) = dataset.scenes()
    read = dataset.read

    def spoiled(*where):
        frame = read(*where)
        if mistake == "inverted":
            frame.c2w = np.linalg.inv(frame.c2w)
        elif mistake == "transposed":
            frame.c2w[:3, :3] = frame.c2w[:3, :3].T.copy()
        elif mistake == "opengl":
            frame.c2w = frame.c2w @ np.diag([1.0, -1, -1, 1])
        else:
            frame.intrinsics[:2, :2] *= 4
        return frame

    monkeypatch.setattr(dataset, "read", spoiled)
    names = dataset.frames(scene)
    with pytest.raises(Bench3RError, match="disagrees"):
        load_scene(dataset, scene, [names[0], names[-1], names[len(names) // 2]], 64, 8)


def test_every_dataset_says_where_it_comes_from():
    for name, cls in DATASETS.all().items():
        assert cls.licence, name
        assert cls.obtain, name
        assert cls.name == name


def test_scannets_surface_lies_where_its_depth_is(tmp_path):
    world = scannet(tmp_path)
    surface = DATASETS.get("scannet")(tmp_path).surface("scene9000_00")
    seen = world.c2w[1, :3, :3] @ np.array([0, 0, world.depth[1, 24, 32]])
    assert np.linalg.norm(surface - (seen + world.c2w[1, :3, 3]), axis=1).min() < 0.1


BROKEN = {  # a file of a format, what happens to it, and the error
    "nrgbd": (
        "breakfast_room/poses.txt",
        lambda p: p.write_text("1 2 3"),
        r"poses\.txt: expected matrices of 4x4",
    ),
    "tum": (
        "rgbd_dataset_freiburg3_test/groundtruth.txt",
        lambda p: p.write_text("1 2 3\n"),
        r"groundtruth\.txt: row 1",
    ),
    "bonn": (
        "rgbd_bonn_test/groundtruth_110.txt",
        lambda p: p.write_text("1 0 0 0 0 0 0 9\n" * 6),
        "unit quaternion",
    ),
    "sintel": (
        "training/depth/alley_9/frame_0001.dpt",
        lambda p: p.write_bytes(p.read_bytes()[:-4]),
        "bytes of pixels",
    ),
    "co3dv2": (
        "apple_test.jgz",
        lambda p: p.write_bytes(b"no gzip"),
        r"apple_test\.jgz: unreadable annotations",
    ),
    "re10k": (
        "000c3ab189999a83/annotations.json",
        lambda p: p.write_text(json.dumps([{"filepath": 3}])),
        "frame 0: expected",
    ),
    "eth3d": (
        "courtyard/ground_truth_depth/dslr_images/DSC_0286.JPG",
        lambda p: p.write_bytes(b"12"),
        "2 bytes, expected",
    ),
    "megadepth": (
        "9001/0/0000.npy",
        lambda p: p.rename(p.with_suffix(".exr")),
        r"0000\.exr: unreadable depth map",
    ),
    "megadepth exr": (
        "9001/0/0000.exr",
        lambda p: p.unlink(),
        r"0000\.npy: depth map is missing, here and as \.exr",
    ),
    "kitti": (
        "image_gathered/2011_09_26_drive_9999_sync_02/0000000005.png",
        lambda p: p.write_bytes(b"x"),
        "unreadable image",
    ),
    "scannet processed": (
        "scene9000_00/cam/00000.npz",
        lambda p: np.savez(p, pose=np.eye(3)),
        "expected pose",
    ),
    "dtu evaluation": ("Cameras/00000000_cam.txt", lambda p: p.unlink(), r"00000000_cam\.txt"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(case, tmp_path):
    dataset, _, _ = opened(case, tmp_path)
    file, damage, message = BROKEN[case]
    damage(tmp_path / file)

    def read_first():
        scene = dataset.scenes()[0]
        return dataset.read(scene, dataset.frames(scene)[0])

    with pytest.raises(Bench3RError, match=message):
        read_first()


def test_sparse_points_of_mipnerf360(tmp_path):
    """Points seen twice, or with a large error, are left out; the others have the true depth at their pixels."""
    world = mipnerf360(tmp_path)
    dataset = DATASETS.get("mipnerf360")(tmp_path)
    frames = dataset.frames("bicycle")
    found = dataset.sparse_points("bicycle", frames[4])
    assert 15 <= len(found) <= 30  # of 30 good ones, those that four images see
    x, y = (found[:, :2] * [128, 96] - 0.5).round().astype(int).T
    np.testing.assert_allclose(found[:, 2], world.depth[4][y, x], atol=1e-3)
    data = load_scene(dataset, "bicycle", frames[3:6], 64, 8)
    assert data.depth is None  # nothing is invented
