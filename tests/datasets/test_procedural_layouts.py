"""Loaders read what the procedural writers wrote in official layouts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data import reprojection
from bench3r.data.formats.mvsnet import write_pfm
from bench3r.data.load import load_scene
from bench3r.data.procedural.render import make_scene

UNITS = {"scannet": 1, "dtu": 1000, "mipnerf360": 1, "blendedmvs": 10, "dtu64": 1000}  # per metre


@pytest.mark.parametrize("name", UNITS)
def test_written_scenes_read_back_exactly(name, procedural_roots):
    cls = DATASETS.get(name)
    dataset = cls(procedural_roots[name])
    (scene,) = dataset.scenes()
    assert scene == cls.procedural_scene_name(0)
    frames = [dataset.read(scene, f) for f in dataset.frames(scene)]
    assert len(frames) == 3
    large = name == "mipnerf360"
    size = (240, 320) if large else (120, 160)
    views = make_scene(cls.procedural_style, 17, 3, size, 1 if large else 2)[1]
    step = views.depth.shape[1] // frames[0].image.shape[0]
    unit = UNITS[name]
    for i, frame in enumerate(frames):
        expected = views.c2w[i].copy()
        expected[:3, 3] *= unit
        np.testing.assert_allclose(frame.c2w, expected, atol=1e-6 * unit)
        if cls.has_depth:
            depth = unit * views.depth[i][step // 2 :: step, step // 2 :: step]
            np.testing.assert_allclose(frame.depth, depth, atol=1e-3 * unit)
        k = np.diag([1 / step, 1 / step, 1]) @ views.intrinsics[i]
        np.testing.assert_allclose(frame.intrinsics[:2, :2], k[:2, :2], rtol=1e-6)
    assert not cls.has_depth or reprojection.check(frames, name).median < 0.01


def test_blendedmvs_ignores_masked_twins_and_reads_both_camera_tails(tmp_path):
    cls = DATASETS.get("blendedmvs")
    scene = "0" * 24
    cls.write_procedural(tmp_path, scene, 0, 3, 3)
    dataset = cls(tmp_path)
    assert dataset.frames(scene) == ["00000000", "00000001", "00000002"]
    cam = tmp_path / scene / "cams" / "00000001_cam.txt"
    before = dataset.read(scene, "00000001")
    cam.write_text(cam.read_text().rsplit(" ", 2)[0] + "\n")  # two numbers at the end, as in MVSNet
    after = dataset.read(scene, "00000001")
    np.testing.assert_array_equal(after.intrinsics, before.intrinsics)


def test_a_depth_map_may_be_empty_but_not_cut(tmp_path):
    cls = DATASETS.get("blendedmvs")
    scene = "0" * 24
    cls.write_procedural(tmp_path, scene, 0, 3, 3)
    maps = tmp_path / scene / "rendered_depth_maps"
    write_pfm(maps / "00000001.pfm", np.zeros((120, 160), np.float32))
    assert not cls(tmp_path).read(scene, "00000001").depth.any()
    cut = maps / "00000002.pfm"
    cut.write_bytes(cut.read_bytes()[:-8])
    with pytest.raises(Bench3RError, match=r"00000002\.pfm: 76792 bytes of pixels, expected 76800"):
        cls(tmp_path).read(scene, "00000002")


def test_dtu64_finds_cameras_by_number(tmp_path):
    cls = DATASETS.get("dtu64")
    for i in range(2):
        cls.write_procedural(tmp_path, cls.procedural_scene_name(i), i, 5 + i, 3)
    dataset = cls(tmp_path)
    assert dataset.frames("scan902") == ["000003", "000004", "000005"]
    images = tmp_path / "scan902" / "image"
    (images / "000003.png").rename(images / "00000003.png")
    assert np.isfinite(dataset.read("scan902", "00000003").c2w).all()
    scene = load_scene(dataset, "scan902", ["00000003", "000004"], 96, 8)
    assert scene.depth is None


def test_scannet_drops_lost_poses_and_sorts_by_number(procedural_roots, tmp_path):
    root = tmp_path / "scannet"
    shutil.copytree(procedural_roots["scannet"], root)
    dataset = DATASETS.get("scannet")(root)
    (scene,) = dataset.scenes()
    for old, new in (("1", "10"), ("2", "9")):
        for folder, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt")):
            path = root / scene / folder / f"{old}.{suffix}"
            path.rename(path.with_name(f"{new}.{suffix}"))
    (root / scene / "pose" / "11.txt").write_text("\n".join(["-inf -inf -inf -inf"] * 4))
    assert dataset.frames(scene) == ["0", "9", "10"]


def test_missing_root_says_how_to_get_the_data():
    cls = DATASETS.get("mipnerf360")
    with pytest.raises(Bench3RError, match=r"mipnerf360: data root .* is missing\. Download"):
        cls(Path("no/such/folder"))
