"""Every loader on its true on-disk format: order, poses, intrinsics, depth, reprojection check."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data import reprojection
from bench3r.data.load import load_scene
from tests.helpers.layouts import WRITERS
from tests.helpers.layouts.colmap import mipnerf360

RESAMPLED = ("eth3d", "tum distorted")  # their pixels move by up to half of one
CHECKED = (
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
MISTAKES = ("inverted", "transposed", "opengl", "focal")
# Bonn's five views lie too close together to tell a focal length on a flat wall
WRONG = [pair for pair in itertools.product(CHECKED, MISTAKES) if pair != ("bonn", "focal")]


@pytest.mark.parametrize("case", WRITERS)
def test_the_true_format_reads_back(case, tmp_path):
    layout = WRITERS[case]
    world = layout.write(tmp_path)
    dataset = DATASETS.get(layout.dataset)(tmp_path)
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
        if layout.step == 0:
            assert frame.depth is None
        elif case in RESAMPLED:
            assert_resampled(frame.depth, world.depth[i])
        else:
            np.testing.assert_array_equal(frame.depth > 0, world.depth[i] > 0)
            np.testing.assert_allclose(frame.depth, world.depth[i], atol=0.51 * layout.step)
    if layout.step and dataset.has_pose:
        assert reprojection.check(frames, case).median < 0.01


def assert_resampled(depth, exact):
    known = depth > 0
    assert known.mean() > 0.9  # all but some missing pixels, and the corners beyond the lens
    error = np.abs(depth - exact)[known]
    assert np.median(error) < 2e-3
    assert np.quantile(error, 0.9) < 0.03


@pytest.mark.parametrize(("case", "mistake"), WRONG)
def test_a_wrong_convention_fails_the_reprojection_check(case, mistake, tmp_path, monkeypatch):
    layout = WRITERS[case]
    layout.write(tmp_path)
    dataset = DATASETS.get(layout.dataset)(tmp_path)
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


def test_published_treatment_leaves_tums_distortion_in(tmp_path):
    WRITERS["tum distorted"].write(tmp_path)
    removed = DATASETS.get("tum")(tmp_path, "exact")
    left = DATASETS.get("tum")(tmp_path, "pi3")
    scene = removed.scenes()[0]
    name = removed.frames(scene)[0]
    a = removed.read(scene, name)
    b = left.read(scene, name)
    np.testing.assert_allclose(a.intrinsics, b.intrinsics)
    k = a.intrinsics
    k1, k2, p1, p2, k3 = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    for row, column in ((10, 12), (48, 64), (80, 110)):  # OpenCV's formula, a pixel at a time
        x = (column - k[0, 2]) / k[0, 0]
        y = (row - k[1, 2]) / k[1, 1]
        r = x**2 + y**2
        radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
        u = k[0, 0] * (x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2)) + k[0, 2]
        v = k[1, 1] * (y * radial + p1 * (r + 2 * y**2) + 2 * p2 * x * y) + k[1, 2]
        for channel in range(3):
            picture = b.image[..., channel].astype(float)
            (seen,) = map_coordinates(picture, [[v], [u]], order=1)
            assert a.image[row, column, channel] == pytest.approx(seen, abs=1)


def test_every_dataset_says_where_it_comes_from():
    for name, cls in DATASETS.all().items():
        assert cls.licence, name
        assert cls.obtain, name
        assert cls.name == name


def test_scannets_surface_lies_where_its_depth_is(tmp_path):
    world = WRITERS["scannet"].write(tmp_path)
    surface = DATASETS.get("scannet")(tmp_path).surface("scene9000_00")
    seen = world.c2w[1, :3, :3] @ np.array([0, 0, world.depth[1, 24, 32]])
    assert np.linalg.norm(surface - (seen + world.c2w[1, :3, 3]), axis=1).min() < 0.1


def test_sparse_points_of_mipnerf360(tmp_path):
    """Points seen twice, or with a large error, are left out; the others have the exact z-depth."""
    world = mipnerf360(tmp_path)
    dataset = DATASETS.get("mipnerf360")(tmp_path)
    frames = dataset.frames("bicycle")
    found = dataset.sparse_points("bicycle", frames[4])
    assert 15 <= len(found) <= 30  # of 30 good ones, those that four images see
    x, y = (found[:, :2] * [128, 96] - 0.5).round().astype(int).T
    np.testing.assert_allclose(found[:, 2], world.depth[4][y, x], atol=1e-3)
    data = load_scene(dataset, "bicycle", frames[3:6], 64, 8)
    assert data.depth is None  # nothing is invented
