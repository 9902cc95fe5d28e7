"""Protocols on datasets in their true on-disk formats: what they find, and what they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data.load import load_scene
from bench3r.metrics import clouds, dtu
from bench3r.protocols import PROTOCOLS
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored
from tests.helpers.layouts.colmap import mipnerf360
from tests.helpers.scored import perfect, written


def test_scannet_is_scored_against_its_scan(tmp_path):
    dataset = written("scannet", tmp_path)
    scored = perfect(dataset, "scene9000_00", dataset.frames("scene9000_00"))
    found, missing = PROTOCOLS.get("scannet50_sim3").evaluate(scored)
    assert not missing
    assert found["fscore_5cm"] > 0.9
    assert found["ate"] < 1e-3
    official, missing = PROTOCOLS.get("scannet50_fastvggt").evaluate(scored)
    assert not missing
    assert 0 < official["chamfer_sum"] < 1
    (tmp_path / "scene9000_00" / "scene9000_00_vh_clean_2.ply").unlink()
    unscanned = perfect(dataset, "scene9000_00", dataset.frames("scene9000_00"))
    missing = PROTOCOLS.get("scannet50_sim3").evaluate(unscanned).missing
    assert "scanned surface is missing" in missing["ate"]
    scored.depth_conf = None
    missing = PROTOCOLS.get("scannet50_fastvggt").evaluate(scored).missing
    assert "keep.depth_conf" in missing["ate"]


def test_dtu_is_scored_where_it_was_observed(tmp_path):
    dataset = written("dtu evaluation", tmp_path)
    seen = dataset.observation("scan901")
    assert seen is not None
    points = dataset.surface("scan901")
    for shift, low, high in ((0, 0, 0.5), (1, 0.5, 1.5)):
        found = dtu.evaluate(points + [0, 0, shift], points, seen)
        assert low <= found.acc <= high, shift
        assert found.comp <= high
    scored = perfect(dataset, "scan901", dataset.frames("scan901"))
    metrics, missing = PROTOCOLS.get("dtu_mvsnet").evaluate(scored)
    assert not missing
    assert metrics["overall"] < 20
    (tmp_path / "SampleSet" / "MVS Data" / "ObsMask" / "Plane901.mat").write_bytes(b"MATLAB?")
    with pytest.raises(Bench3RError, match=r"Plane901\.mat: unreadable MATLAB file"):
        dataset.observation("scan901")


@pytest.mark.parametrize(
    ("name", "metric", "best"),
    [
        ("cut3r_pointmap", "chamfer", 0),
        ("spatialmor", "f1", 1),
        ("depth_video", "scale_absrel", 0),
        ("relpose_vggt", "auc5", 1),
        ("relpose_da3", "auc5", 1),
    ],
)
def test_a_perfect_prediction_scores_perfectly(name, metric, best, tmp_path):
    dataset = written("megadepth", tmp_path)
    scored = perfect(dataset, "9001/0", dataset.frames("9001/0"))
    found, missing = PROTOCOLS.get(name).evaluate(scored)
    assert not missing, missing
    assert found[metric] == pytest.approx(best, abs=2e-3)


def test_without_poses_only_depth_is_scored(tmp_path):
    dataset = written("kitti", tmp_path)
    (scene,) = dataset.scenes()
    data = load_scene(dataset, scene, dataset.frames(scene), 64, 8)
    scored = Scored(
        scene=data,
        depth=data.depth.astype(float) + 1e-9,
        extrinsics=np.broadcast_to(np.eye(4)[:3], (len(data.c2w), 3, 4)),
        intrinsics=np.broadcast_to(np.eye(3), (len(data.c2w), 3, 3)),
        dataset=dataset,
    )
    found, missing = PROTOCOLS.get("depth_video").evaluate(scored)
    assert not missing
    assert found["metric_absrel"] < 1e-6
    for name in ("pi3_pointmap", "relpose_pi3", "trajectory_evo", "dtu_mvsnet"):
        found, missing = PROTOCOLS.get(name).evaluate(scored)
        assert not found
        assert all(m.startswith("not applicable") for m in missing.values()), missing
    with pytest.raises(NotApplicable, match="no scanned surface"):
        _ = scored.surface


def test_video_depth_is_bounded_and_clipped_as_published(tmp_path):
    """Sintel: true depth from 70 m on does not count, predictions end there; elsewhere: 80 m."""
    dataset = written("sintel", tmp_path)
    (scene,) = dataset.scenes()
    scored = perfect(dataset, scene, dataset.frames(scene))
    scored.full_depth = 20.0 * scored.scene.depth / scored.scene.depth.max()
    scored.full_depth[:, 0] = 75.0
    scored.full_depth[:, 1] = 69.0
    scored.depth = scored.full_depth.astype(float)
    scored.depth[:, 1] = 500.0
    found = PROTOCOLS.get("depth_video").evaluate(scored).metrics
    assert found["valid"] == scored.full_depth[:, 1:].size  # the row at 75 m is out
    share = scored.full_depth[:, 1].size / found["valid"]
    # 70 in place of 69, not 500
    assert found["metric_absrel"] == pytest.approx(share / 69, rel=1e-6)
    (tmp_path / "other").mkdir()
    other = written("megadepth", tmp_path / "other")
    unbounded = perfect(other, "9001/0", other.frames("9001/0"))
    assert unbounded.largest_depth == np.inf  # arbitrary units
    assert DATASETS.get("tum").largest_depth is None


def test_depth_is_scored_at_sparse_points(tmp_path):
    world = mipnerf360(tmp_path)
    dataset = DATASETS.get("mipnerf360")(tmp_path)
    frames = dataset.frames("bicycle")
    data = load_scene(dataset, "bicycle", frames[3:6], 64, 8)
    true = world.depth[3:6, ::2, ::2]
    w2c = np.linalg.inv(data.c2w)[:, :3]
    protocol = PROTOCOLS.get("sparse_depth")
    scored = Scored(data, 0.3 * true, w2c, data.intrinsics, dataset=dataset, patch=8)
    metrics, missing = protocol.evaluate(scored)
    assert not missing
    assert metrics["points"] > 50
    assert metrics["absrel_median"] < 0.02
    assert metrics["delta_1_25"] > 0.95
    flat = Scored(data, np.ones_like(true), w2c, data.intrinsics, dataset=dataset, patch=8)
    assert protocol.evaluate(flat).metrics["absrel_median"] > metrics["absrel_median"]
    other = Scored(data, true, w2c, data.intrinsics, patch=8)
    missing = protocol.evaluate(other).missing
    assert all(m.startswith("not applicable") for m in missing.values())


def test_the_protocols_of_a_scene_share_its_search_trees(tmp_path, monkeypatch):
    """Three rules of aligned points need one tree of the true points and one of the predicted."""
    built = []
    tree = clouds.cKDTree
    monkeypatch.setattr(clouds, "cKDTree", lambda points: built.append(len(points)) or tree(points))
    dataset = written("scannet", tmp_path)
    scored = perfect(dataset, "scene9000_00", dataset.frames("scene9000_00"))
    for name in ("pi3_pointmap", "fscore", "spatialmor"):
        assert not PROTOCOLS.get(name).evaluate(scored).missing
    assert built == [len(scored.true_points)] * 2
