"""Loaders read what the writers wrote in official layouts; broken data give one clear error."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.data.formats.mvsnet import write_pfm
from bench3r.data.frame_lists import NAMES, chosen_frames, load_list, scene_names
from bench3r.data.load import load_scene
from bench3r.data.procedural.render import make_scene
from bench3r.data.resize import resize_frame, target_size
from bench3r.data.validate import validate
from tests.conftest import ROOT

WRITTEN = ("scannet", "dtu", "mipnerf360", "blendedmvs", "dtu64")


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    """One procedural scene in every layout that has a writer."""
    out = {}
    for name in WRITTEN:
        cls = DATASETS.get(name)
        out[name] = tmp_path_factory.mktemp(name)
        cls.write_procedural(out[name], cls.procedural_scene_name(0), 0, 17, 3)
    return out


@pytest.fixture
def seven(tmp_path) -> Path:
    """A 7-Scenes tree of three frames."""
    views = make_scene("room", 4, 3, (480, 640), samples=1)[1]
    k = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
    from bench3r.data.procedural.render import render
    from bench3r.data.procedural.world import BUILDERS

    world = BUILDERS["room"](np.random.default_rng([4, 1]))
    views = render(world, k, views.c2w, (480, 640), 1)
    folder = tmp_path / "chess" / "seq-01"
    folder.mkdir(parents=True)
    for i in range(3):
        stem = folder / f"frame-{i * 7:06d}"
        Image.fromarray(views.images[i]).save(f"{stem}.color.png")
        depth = np.round(views.depth[i] * 1000).astype(np.uint16)
        depth[:5] = 65535
        Image.fromarray(depth).save(f"{stem}.depth.png")
        np.savetxt(f"{stem}.pose.txt", views.c2w[i])
    return tmp_path


@pytest.mark.parametrize("name", WRITTEN)
def test_written_scenes_read_back_exactly(roots, name):
    cls = DATASETS.get(name)
    dataset = cls(roots[name])
    (scene,) = dataset.scenes()
    frames = [dataset.read(scene, f) for f in dataset.frames(scene)]
    assert len(frames) == 3
    size = (240, 320) if name == "mipnerf360" else (120, 160)
    unit = {"mm": 1000, "arbitrary": 10 if name == "blendedmvs" else 1}.get(cls.unit, 1)
    views = make_scene(cls.procedural_style, 17, 3, size, 1 if name == "mipnerf360" else 2)[1]
    step = views.depth.shape[1] // frames[0].image.shape[0]
    for i, frame in enumerate(frames):
        expected = views.c2w[i].copy()
        expected[:3, 3] *= unit
        np.testing.assert_allclose(frame.c2w, expected, atol=1e-6 * unit)
        if cls.has_depth:
            truth = unit * views.depth[i][step // 2 :: step, step // 2 :: step]
            np.testing.assert_allclose(frame.depth, truth, atol=1e-3 * unit)
        scale = np.diag([1 / step, 1 / step, 1])
        np.testing.assert_allclose(
            frame.intrinsics[:2, :2], (scale @ views.intrinsics[i])[:2, :2], rtol=1e-6
        )
    assert not cls.has_depth or reprojection.check(frames, name).median < 0.01


def test_blendedmvs_ignores_masked_twins_and_reads_both_camera_tails(tmp_path):
    cls = DATASETS.get("blendedmvs")
    cls.write_procedural(tmp_path, "0" * 24, 0, 3, 3)
    folder = tmp_path / ("0" * 24)
    assert cls(tmp_path).frames("0" * 24) == ["00000000", "00000001", "00000002"]
    cam = folder / "cams" / "00000001_cam.txt"
    before = cls(tmp_path).read("0" * 24, "00000001")
    cam.write_text(cam.read_text().rsplit(" ", 2)[0] + "\n")  # two numbers at the end, as in MVSNet
    np.testing.assert_array_equal(
        cls(tmp_path).read("0" * 24, "00000001").intrinsics, before.intrinsics
    )
    write_pfm(folder / "rendered_depth_maps" / "00000001.pfm", np.zeros((120, 160), np.float32))
    assert (
        not cls(tmp_path).read("0" * 24, "00000001").depth.any()
    )  # an empty depth map is data, not damage
    path = folder / "rendered_depth_maps" / "00000002.pfm"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Bench3RError, match=r"00000002\.pfm: 76792 bytes of pixels, expected 76800"):
        cls(tmp_path).read("0" * 24, "00000002")


def test_dtu64_finds_cameras_by_number(tmp_path):
    cls = DATASETS.get("dtu64")
    for i in range(2):
        cls.write_procedural(tmp_path, cls.procedural_scene_name(i), i, 5 + i, 3)
    dataset = cls(tmp_path)
    assert dataset.frames("scan902") == ["000003", "000004", "000005"]
    (tmp_path / "scan902" / "image" / "000003.png").rename(
        tmp_path / "scan902" / "image" / "00000003.png"
    )
    assert np.isfinite(dataset.read("scan902", "00000003").c2w).all()
    scene = load_scene(dataset, "scan902", ["00000003", "000004"], 96, 8)
    assert scene.depth is None


def test_seven_scenes_reads_the_official_layout(seven):
    dataset = DATASETS.get("seven_scenes")(seven)
    assert dataset.scenes() == ["chess/seq-01"]
    assert dataset.frames("chess/seq-01") == ["frame-000000", "frame-000007", "frame-000014"]
    frames = [dataset.read("chess/seq-01", f) for f in dataset.frames("chess/seq-01")]
    assert (frames[0].depth[:5] == 0).all()
    assert reprojection.check(frames, "7").median < 0.01


@pytest.mark.skipif(
    not Path("../shared/data/7scenes").is_dir(), reason="the real frames are not here"
)
def test_seven_scenes_real_frames_pass_the_gate():
    dataset = DATASETS.get("seven_scenes")(Path("../shared/data/7scenes"))
    (scene,) = dataset.scenes()
    frames = [dataset.read(scene, f) for f in dataset.frames(scene)[:120:15]]
    result = reprojection.check(frames, scene)
    assert result.pairs > 5
    assert result.median < 0.012


def test_scannet_drops_lost_poses_and_sorts_by_number(roots, tmp_path):
    root = tmp_path / "scannet"
    shutil.copytree(roots["scannet"], root)
    (scene,) = (p.name for p in root.iterdir() if p.name.startswith("scene"))
    for old, new in (("1", "10"), ("2", "9")):
        for folder, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt")):
            (root / scene / folder / f"{old}.{suffix}").rename(
                root / scene / folder / f"{new}.{suffix}"
            )
    (root / scene / "pose" / "11.txt").write_text("\n".join(["-inf -inf -inf -inf"] * 4))
    assert DATASETS.get("scannet")(root).frames(scene) == ["0", "9", "10"]


BREAKS = {
    "image missing": (lambda s: (s / "color/1.jpg").unlink(), r"color/1\.jpg: image is missing"),
    "image cut": (
        lambda s: (s / "color/1.jpg").write_bytes(b"\xff\xd8\xff\xe0cut"),
        r"color/1\.jpg: unreadable",
    ),
    "depth missing": (
        lambda s: (s / "depth/1.png").unlink(),
        r"depth/1\.png: depth map is missing",
    ),
    "depth 8 bit": (
        lambda s: Image.new("L", (160, 120)).save(s / "depth/1.png"),
        r"depth/1\.png: expected a 16-bit",
    ),
    "pose text": (
        lambda s: (s / "pose/1.txt").write_text("one two"),
        r"pose/1\.txt: expected numbers",
    ),
    "pose short": (lambda s: (s / "pose/1.txt").write_text("1 0 0"), r"pose/1\.txt: expected 4x4"),
    "pose sheared": (
        lambda s: np.savetxt(s / "pose/1.txt", np.diag([1, 2, 1, 1])),
        r"pose/1\.txt: the pose is not a rigid",
    ),
    "intrinsics": (
        lambda s: (s / "intrinsic/intrinsic_depth.txt").unlink(),
        r"intrinsic_depth\.txt: file is missing",
    ),
    "extrinsics": (
        lambda s: np.savetxt(s / "intrinsic/extrinsic_color.txt", np.diag([1, 1, 1, 2])),
        r"extrinsic_color\.txt: expected the identity",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_frame_is_one_clear_error(roots, tmp_path, case):
    root = tmp_path / "scannet"
    shutil.copytree(roots["scannet"], root)
    (scene,) = (p for p in root.iterdir() if p.name.startswith("scene"))
    damage, message = BREAKS[case]
    damage(scene)
    dataset = DATASETS.get("scannet")(root)
    with pytest.raises(Bench3RError, match=message):
        load_scene(dataset, scene.name, ["0", "1", "2"], 96, 8)


def test_missing_root_says_how_to_get_the_data(tmp_path):
    cls = DATASETS.get("mipnerf360")
    with pytest.raises(Bench3RError, match=r"mipnerf360: data root .* is missing\. Download"):
        cls(tmp_path / "nothing")


WRONG = {
    "inverted": (lambda f: Frame(f.image, f.intrinsics, np.linalg.inv(f.c2w), f.depth), "inverted"),
    "opengl": (
        lambda f: Frame(f.image, f.intrinsics, f.c2w @ np.diag([1.0, -1, -1, 1]), f.depth),
        "OpenGL",
    ),
    "millimetres": (
        lambda f: Frame(f.image, f.intrinsics, f.c2w, f.depth * 1000),
        "1000 times too large",
    ),
    "focal": (
        lambda f: Frame(f.image, np.diag([3.0, 3, 1]) @ f.intrinsics, f.c2w, f.depth),
        "no common convention",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("style", ["room", "outdoor"])
def test_the_gate_names_the_convention_mistake(case, style):
    views = make_scene(style, 8, 6, (60, 80), samples=1)[1]
    frames = [
        Frame(*v) for v in zip(views.images, views.intrinsics, views.c2w, views.depth, strict=True)
    ]
    spoil, message = WRONG[case]
    with pytest.raises(Bench3RError, match=message):
        reprojection.check([spoil(f) for f in frames], "scene")


def test_the_gate_says_when_it_cannot_check():
    image = np.zeros((6, 8, 3), np.uint8)
    frame = Frame(image, np.eye(3), np.eye(4), None)
    assert "no depth" in reprojection.check([frame, frame], "x").note
    away = np.eye(4)
    away[0, 3] = 1e6
    deep = [Frame(image, np.eye(3), p, np.ones((6, 8), np.float32)) for p in (np.eye(4), away)]
    assert "overlap" in reprojection.check(deep, "x").note


def test_resizing_keeps_rays(rng):
    frame = Frame(
        rng.integers(0, 255, (120, 160, 3), dtype=np.uint8),
        np.array([[140.0, 0, 79.5], [0, 140, 59.5], [0, 0, 1]]),
        np.eye(4),
        rng.uniform(1, 2, (120, 160)).astype(np.float32),
    )
    small = resize_frame(frame, (72, 96))
    assert small.image.shape == (72, 96, 3)
    for x, y in (
        (0, 0),
        (95, 71),
        (40, 20),
    ):  # the centre of an output pixel looks where it looked before
        ray = np.linalg.solve(small.intrinsics, [x, y, 1])
        source = frame.intrinsics @ ray
        np.testing.assert_allclose(
            source[:2], [(x + 0.5) * 160 / 96 - 0.5, (y + 0.5) * 120 / 72 - 0.5], atol=1e-9
        )
    assert target_size(480, 640, 518, 14) == (392, 518)
    tall = resize_frame(
        Frame(np.zeros((200, 100, 3), np.uint8), frame.intrinsics, np.eye(4)),
        target_size(200, 100, 96, 8),
    )
    assert tall.image.shape == (96, 96, 3)


def test_the_published_intrinsics_treatment_is_an_option(roots):
    """Pi3 scales both axes by the larger factor: 640 x 480 becomes 518 x 392, and the focal length across is 0.9 % long."""
    frame = Frame(np.zeros((480, 640, 3), np.uint8), np.diag([500.0, 500, 1]), np.eye(4))
    exact, published = (
        resize_frame(frame, target_size(480, 640, 518, 14), how).intrinsics
        for how in ("exact", "pi3")
    )
    assert exact[0, 0] == pytest.approx(500 * 518 / 640)
    assert published[0, 0] / exact[0, 0] == pytest.approx(392 / 480 * 640 / 518)
    assert published[1, 1] == exact[1, 1]
    cls = DATASETS.get("dtu")
    (scene,) = cls(roots["dtu"]).scenes()
    wide, narrow = (
        load_scene(cls(roots["dtu"], how), scene, ["00000000"], 100, 8) for how in ("exact", "pi3")
    )
    assert wide.images.shape == narrow.images.shape == (1, 72, 100, 3)
    assert narrow.intrinsics[0, 1, 1] / wide.intrinsics[0, 1, 1] == pytest.approx(
        (100 / 160) / (72 / 120)
    )


def test_a_whole_root_is_validated(roots, tmp_path):
    import json
    import subprocess
    import sys

    root, out = tmp_path / "scannet", tmp_path / "report.json"
    shutil.copytree(roots["scannet"], root)
    good = validate("scannet", root, out, workers=1)
    assert good["broken"] == []
    (row,) = good["details"]
    assert (row["frames"], row["read"], row["unreadable"]) == (3, 3, 0)
    assert row["sizes"] == ["160x120"]
    assert row["gate"] < 0.01
    assert row["surface"] > 1000
    second = root / "scene9999_00"
    shutil.copytree(root / row["scene"], second)
    (second / "scene9999_00_vh_clean_2.ply").unlink(missing_ok=True)
    (second / "color" / "1.jpg").write_bytes(b"broken")
    np.savetxt(second / "pose" / "2.txt", np.diag([1, 2, 1, 1]))
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "prepare",
        "scannet",
        "--root",
        str(root),
        "--out",
        str(out),
        "--workers",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    for text in (
        "color/1.jpg: unreadable image",
        "pose/2.txt: the pose is not a rigid",
        "scanned surface is missing",
    ):
        assert text in done.stdout
    report = json.loads(out.read_text())
    assert report["broken"] == ["scene9999_00"]
    assert report["details"][1]["unreadable"] == 2
    (root / row["scene"]).rename(root / "other")
    with pytest.raises(Bench3RError, match="data root"):
        validate("scannet", tmp_path / "nowhere", out)


@pytest.mark.parametrize("name", NAMES)
def test_frame_lists_are_what_they_were(name):
    found = load_list(name)
    assert found.name == name
    assert found.origin
    assert DATASETS.get(found.dataset).name == found.dataset
    assert len(found.lists) >= 5


def test_frame_lists_choose_scenes_and_frames():
    wanted = load_list("pi3_7scenes_kf200")
    assert scene_names(wanted, ["chess/seq-01", "chess/seq-03", "office/seq-09"]) == {
        "chess/seq-03": "chess/seq-03",
        "office/seq-09": "office/seq-09",
    }
    frames = [f"frame-{n:06d}" for n in range(1000)]
    assert chosen_frames(wanted, "chess/seq-03", frames, 0)[:2] == ["frame-000000", "frame-000200"]
    with pytest.raises(Bench3RError, match="has no frame 200"):
        chosen_frames(wanted, "chess/seq-03", frames[:100], 0)
    with pytest.raises(Bench3RError, match="none of its 18 scenes is there"):
        scene_names(wanted, ["kitchen"])
    poses = load_list("pi3_co3dv2_seed42")
    sequence = next(iter(poses.lists))
    assert scene_names(poses, [f"apple/{sequence}"]) == {sequence: f"apple/{sequence}"}
    places = [str(n) for n in range(1000)]
    assert chosen_frames(poses, sequence, places, 0) == [
        str(n) for n in poses.lists[sequence]
    ]  # in their own order
    official = load_list("fastvggt_scannet_50")
    assert chosen_frames(official, "scene0000_00", places[:237], 100)[:3] == ["0", "1", "3"]
