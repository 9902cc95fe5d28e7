"""Frames at a model's size: rays stay, and the published treatment of intrinsics is an option."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.scene import Frame
from bench3r.data.load import load_scene
from bench3r.data.resize import resize_frame, target_size
from tests.helpers.procedural import write_root


def test_resizing_keeps_rays(rng):
    image = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    k = np.array([[140.0, 0, 79.5], [0, 140, 59.5], [0, 0, 1]])
    depth = rng.uniform(1, 2, (120, 160)).astype(np.float32)
    small = resize_frame(Frame(image, k, np.eye(4), depth), (72, 96))
    assert small.image.shape == (72, 96, 3)
    # the centre of an output pixel looks where it looked before
    for x, y in ((0, 0), (95, 71), (40, 20)):
        source = k @ np.linalg.solve(small.intrinsics, [x, y, 1])
        expected = [(x + 0.5) * 160 / 96 - 0.5, (y + 0.5) * 120 / 72 - 0.5]
        np.testing.assert_allclose(source[:2], expected, atol=1e-9)


def test_sizes_keep_the_aspect_and_tall_images_are_cropped():
    assert target_size(480, 640, 518, 14) == (392, 518)
    frame = Frame(np.zeros((200, 100, 3), np.uint8), np.eye(3), np.eye(4))
    tall = resize_frame(frame, target_size(200, 100, 96, 8))
    assert tall.image.shape == (96, 96, 3)


def test_the_published_intrinsics_treatment_is_an_option():
    """Pi3 scales both axes by the larger factor: at 518 x 392 the focal length is 0.9 % long."""
    frame = Frame(np.zeros((480, 640, 3), np.uint8), np.diag([500.0, 500, 1]), np.eye(4))
    size = target_size(480, 640, 518, 14)
    exact = resize_frame(frame, size, "exact").intrinsics
    published = resize_frame(frame, size, "pi3").intrinsics
    assert exact[0, 0] == pytest.approx(500 * 518 / 640)
    assert published[0, 0] / exact[0, 0] == pytest.approx(392 / 480 * 640 / 518)
    assert published[1, 1] == exact[1, 1]


def test_a_dataset_is_opened_with_either_treatment(tmp_path):
    cls = DATASETS.get("dtu")
    write_root("dtu", tmp_path)
    (scene,) = cls(tmp_path).scenes()
    exact = load_scene(cls(tmp_path, "exact"), scene, ["00000000"], 100, 8)
    published = load_scene(cls(tmp_path, "pi3"), scene, ["00000000"], 100, 8)
    assert exact.images.shape == published.images.shape == (1, 72, 100, 3)
    ratio = published.intrinsics[0, 1, 1] / exact.intrinsics[0, 1, 1]
    assert ratio == pytest.approx((100 / 160) / (72 / 120))
