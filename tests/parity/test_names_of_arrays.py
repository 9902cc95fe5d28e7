"""What only the names of a file's arrays say: thresholds, cell sizes, seeds, sample sizes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bench3r.metrics import clouds, dtu, pose
from tests.helpers.golden_copy import Planted


def test_thresholds_and_cells_of_fscores(tmp_path):
    planted = Planted("p9_fscore", tmp_path)
    renamed = {}
    for name, value in planted.arrays.items():
        renamed[name.replace("_t005_", "_t020_").replace("vox4cm", "vox10cm")] = value
    planted.arrays = renamed
    found = planted.computed()
    own, true = (planted.arrays[f"in_{n}_points"].astype(float) for n in ("pred", "gt"))
    near = cKDTree(true).query(own)[0]
    assert found["out_t020_threshold"] == 0.2
    assert found["out_t020_precision"] == (near < 0.2).mean()
    coarse = [clouds.voxel_average(p, 0.1) for p in (own, true)]
    near = cKDTree(coarse[1]).query(coarse[0])[0]
    np.testing.assert_allclose(found["out_da3_vox10cm_t020_acc"], near.mean())


def test_thresholds_of_relative_poses(tmp_path):
    planted = Planted("p4_relpose", tmp_path)
    planted.arrays["out_pooled_pi3_auc10"] = np.zeros(())
    angles = [planted.arrays[f"in_edge_{kind}_deg"] for kind in ("rot", "trans")]
    assert planted.computed()["out_edge_auc10"] == pose.pose_auc(*angles, 10)


def test_seeds_of_shuffled_surfaces(tmp_path):
    planted = Planted("p8_dtu", tmp_path)
    planted.arrays["out_seed7_acc"] = np.zeros(())
    given = planted.read().numbers()
    points = given["pred_points"].copy()
    np.random.default_rng(7).shuffle(points, axis=0)
    seen = dtu.Observation(given["ObsMask"], given["BB"], float(given["Res"]), given["plane"])
    expected = dtu.evaluate(points, given["stl_points"], seen)
    assert planted.computed()["out_seed7_acc"] == expected.acc


def test_sizes_of_subsampled_clouds(tmp_path):
    planted = Planted("p3_scannet_room", tmp_path)
    planted.arrays["out_subsample_sum_of_200000"] = np.zeros(())
    chosen = np.random.RandomState(33).choice(200_000, 100_000, replace=False)
    assert planted.computed()["out_subsample_sum_of_200000"] == chosen.sum()
