"""Training on datasets in their official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig, TrainData
from bench3r.training.samples import DatasetSource
from tests.helpers.layouts.objects import megadepth
from tests.helpers.layouts.scannet import scannet


@pytest.fixture
def data(tmp_path: Path) -> dict[str, TrainData]:
    """Two datasets on disk."""
    found = {}
    for name, write in (("scannet", scannet), ("megadepth", megadepth)):
        root = tmp_path / name
        root.mkdir()
        write(root)
        found[name] = TrainData(root=str(root))
    return found


def test_scenes_of_two_datasets_in_turn(data):
    """Squares with their intrinsics; broken frames are passed over."""
    source = DatasetSource(data, 48, views=4)
    scenes = [source(i) for i in range(6)]
    again = DatasetSource(data, 48, views=4)(2)
    np.testing.assert_array_equal(source(2).images, again.images)
    for views in scenes:
        assert views.images.shape == (4, 48, 48, 3)
        assert (views.depth > 0).mean() > 0.8
        columns = (views.images, views.intrinsics, views.c2w, views.depth)
        frames = [Frame(*values) for values in zip(*columns, strict=True)]
        assert reprojection.check(frames, "square").median < 0.01
    broken = Path(data["scannet"].root) / "scene9000_00" / "color" / "1.jpg"
    broken.write_bytes(b"broken")
    assert all(source(i).images.any() for i in range(4))


def test_a_step_runs_on_real_layouts(data, tmp_path):
    config = TrainConfig(
        steps=1,
        data=data,
        width=48,
        heights=(48,),
        frames_per_batch=4,
        view_counts=(2,),
        workers=0,
        queries=4,
    )
    trainer = train_base("vggt", "tiny", config, tmp_path / "run")
    assert trainer.step == 1


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(Bench3RError, match=r"scannet: data root .* is missing"):
        DatasetSource({"scannet": TrainData(root=str(tmp_path / "nothing"))}, 48)(0)
