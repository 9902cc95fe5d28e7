"""7-Scenes in its official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench3r.api.dataset import DATASETS
from bench3r.data import reprojection
from bench3r.data.procedural.render import make_scene, render

REAL = Path("../shared/data/7scenes")


@pytest.fixture
def seven(tmp_path) -> Path:
    """A tree of three frames."""
    world, views = make_scene("room", 4, 3, (480, 640), samples=1)
    k = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
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


def test_seven_scenes_reads_the_official_layout(seven):
    dataset = DATASETS.get("seven_scenes")(seven)
    assert dataset.scenes() == ["chess/seq-01"]
    assert dataset.frames("chess/seq-01") == ["frame-000000", "frame-000007", "frame-000014"]
    frames = [dataset.read("chess/seq-01", f) for f in dataset.frames("chess/seq-01")]
    assert (frames[0].depth[:5] == 0).all()
    assert reprojection.check(frames, "7").median < 0.01


@pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not here")
def test_real_frames_pass_the_reprojection_check():
    dataset = DATASETS.get("seven_scenes")(REAL)
    (scene,) = dataset.scenes()
    frames = [dataset.read(scene, f) for f in dataset.frames(scene)[:120:15]]
    result = reprojection.check(frames, scene)
    assert result.pairs > 5
    assert result.median < 0.012
