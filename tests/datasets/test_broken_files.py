"""One clear error, which names the file, for what is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data.load import load_scene
from tests.helpers.layouts import WRITERS


class Damage(NamedTuple):
    """A file of a format, what happens to it, and the error."""

    file: str
    damage: Callable[[Path], object]
    message: str


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def matrix(*diagonal: float) -> Callable[[Path], object]:
    return lambda path: np.savetxt(path, np.diag(diagonal))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def eight_bits(path: Path) -> None:
    Image.new("L", (160, 120)).save(path)


SCANNET = {
    "image missing": Damage("color/1.jpg", Path.unlink, r"color/1\.jpg: image is missing"),
    "image cut": Damage("color/1.jpg", data(b"\xff\xd8\xff\xe0cut"), r"color/1\.jpg: unreadable"),
    "depth missing": Damage("depth/1.png", Path.unlink, r"depth/1\.png: depth map is missing"),
    "depth 8 bit": Damage("depth/1.png", eight_bits, r"depth/1\.png: expected a 16-bit"),
    "pose text": Damage("pose/1.txt", text("one two"), r"pose/1\.txt: expected numbers"),
    "pose short": Damage("pose/1.txt", text("1 0 0"), r"pose/1\.txt: expected 4x4"),
    "pose sheared": Damage(
        "pose/1.txt", matrix(1, 2, 1, 1), r"pose/1\.txt: the pose is not a rigid"
    ),
    "intrinsics": Damage(
        "intrinsic/intrinsic_depth.txt", Path.unlink, r"intrinsic_depth\.txt: file is missing"
    ),
    "extrinsics": Damage(
        "intrinsic/extrinsic_color.txt",
        matrix(1, 1, 1, 2),
        r"extrinsic_color\.txt: expected the identity",
    ),
}


@pytest.mark.parametrize("case", SCANNET)
def test_a_broken_frame_is_one_clear_error(procedural_roots, tmp_path, case):
    root = tmp_path / "scannet"
    shutil.copytree(procedural_roots["scannet"], root)
    dataset = DATASETS.get("scannet")(root)
    (scene,) = dataset.scenes()
    broken = SCANNET[case]
    broken.damage(root / scene / broken.file)
    with pytest.raises(Bench3RError, match=broken.message):
        load_scene(dataset, scene, ["0", "1", "2"], 96, 8)


BROKEN = {
    "nrgbd": Damage(
        "breakfast_room/poses.txt", text("1 2 3"), r"poses\.txt: expected matrices of 4x4"
    ),
    "tum": Damage(
        "rgbd_dataset_freiburg3_test/groundtruth.txt", text("1 2 3\n"), r"groundtruth\.txt: row 1"
    ),
    "bonn": Damage(
        "rgbd_bonn_test/groundtruth_110.txt", text("1 0 0 0 0 0 0 9\n" * 6), "unit quaternion"
    ),
    "sintel": Damage("training/depth/alley_9/frame_0001.dpt", cut, "bytes of pixels"),
    "co3dv2": Damage(
        "apple_test.jgz", data(b"no gzip"), r"apple_test\.jgz: unreadable annotations"
    ),
    "re10k": Damage(
        "000c3ab189999a83/annotations.json",
        text(json.dumps([{"filepath": 3}])),
        "frame 0: expected",
    ),
    "eth3d": Damage(
        "courtyard/ground_truth_depth/dslr_images/DSC_0286.JPG", data(b"12"), "2 bytes, expected"
    ),
    "megadepth": Damage(
        "9001/0/0000.npy",
        lambda path: path.rename(path.with_suffix(".exr")),
        r"0000\.exr: unreadable depth map",
    ),
    "megadepth exr": Damage(
        "9001/0/0000.exr", Path.unlink, r"0000\.npy: depth map is missing, here and as \.exr"
    ),
    "kitti": Damage(
        "image_gathered/2011_09_26_drive_9999_sync_02/0000000005.png",
        data(b"x"),
        "unreadable image",
    ),
    "scannet processed": Damage(
        "scene9000_00/cam/00000.npz",
        lambda path: np.savez(path, pose=np.eye(3)),
        "expected pose",
    ),
    "dtu evaluation": Damage("Cameras/00000000_cam.txt", Path.unlink, r"00000000_cam\.txt"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(case, tmp_path):
    layout = WRITERS[case]
    layout.write(tmp_path)
    dataset = DATASETS.get(layout.dataset)(tmp_path)
    broken = BROKEN[case]
    broken.damage(tmp_path / broken.file)

    def read_first():
        scene = dataset.scenes()[0]
        return dataset.read(scene, dataset.frames(scene)[0])

    with pytest.raises(Bench3RError, match=broken.message):
        read_first()


STREAMS = (
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
)


@pytest.mark.parametrize(("spoil", "says"), STREAMS)
def test_a_damaged_stream_is_named(spoil, says, tmp_path):
    WRITERS["scannet stream"].write(tmp_path)
    path = tmp_path / "scene9000_00" / "scene9000_00.sens"
    path.write_bytes(spoil(path.read_bytes()))
    dataset = DATASETS.get("scannet")(tmp_path)
    with pytest.raises(Bench3RError, match=says):
        dataset.read("scene9000_00", dataset.frames("scene9000_00")[0])
