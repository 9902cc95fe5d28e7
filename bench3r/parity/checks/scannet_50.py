"""Protocol 3: clouds and trajectories of long indoor sequences, and the frames they take."""

from __future__ import annotations

import re

import numpy as np
import torch

from bench3r.data.frame_lists import select_frames
from bench3r.metrics import scannet50
from bench3r.metrics.alignment import move
from bench3r.metrics.projection import unproject
from bench3r.models.geometry import decode_pose
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Inputs, Outputs, Value

FIRST = 20  # of the subsample's indices that the files hold


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    maps = given["pred_depth"]
    codes = torch.from_numpy(given["pose_enc"])[None]
    decoded = decode_pose(codes, (maps.shape[1], maps.shape[2]))
    extrinsics, intrinsics = (t[0].numpy() for t in decoded)
    out: dict[str, Value] = {
        **_cloud(given, extrinsics, intrinsics),
        **_trajectory(given, extrinsics),
        **_selected(given),
        "pred_extrinsic": extrinsics,
        "pred_intrinsic": intrinsics,
    }
    for points in golden.numbers_in_names(r"out_subsample_sum_of_(\d+)"):
        chosen = scannet50.subsample(points)
        out[f"subsample_first{FIRST}_of_{points}"] = chosen[:FIRST]
        out[f"subsample_sum_of_{points}"] = chosen.sum()
    return prefixed("out_", out)


def _cloud(
    given: Inputs[np.ndarray], extrinsics: np.ndarray, intrinsics: np.ndarray
) -> dict[str, Value]:
    """Chamfer distance of the points that are sure enough."""
    sure = given["pred_conf"] >= scannet50.LEAST_CONFIDENCE
    points = unproject(given["pred_depth"], extrinsics, intrinsics)[sure]
    found = scannet50.box_chamfer(move(given["gt_c2w_all"][0], points), given["gt_vertices"])
    return {
        "num_points_conf_ok": int(sure.sum()),
        "bbox_scale": found.scale,
        "num_voxels_pred": found.predicted_voxels,
        "num_voxels_gt": found.true_voxels,
        "mean_clipped_pred_to_gt": found.predicted_to_true,
        "mean_clipped_gt_to_pred": found.true_to_predicted,
        "chamfer_sum": found.chamfer,
    }


def _trajectory(given: Inputs[np.ndarray], extrinsics: np.ndarray) -> dict[str, Value]:
    """Errors of world-to-camera positions as published, and of positions in either convention."""
    every = given["gt_c2w_all"]
    ids = given["gt_pose_ids"].tolist()
    selected = [ids.index(i) for i in given["selected_ids"].tolist()]
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(extrinsics), 1, 4))
    own = np.concatenate([extrinsics, bottom], 1)
    # the ground truth's world is its first camera with a pose: positions depend on that choice
    true = np.linalg.inv(every[selected]) @ every[0]
    out: dict[str, Value] = dict(scannet50.w2c_trajectory(own, true))
    sides = {"w2c": (own, true), "c2w": (np.linalg.inv(own), np.linalg.inv(true))}
    for name, (a, b) in sides.items():
        out[f"ate_sim3_{name}"] = scannet50.w2c_trajectory(a, b, origin=False)["ate"]
        out[f"ate_sim3_then_first_pose_{name}"] = scannet50.w2c_trajectory(a, b)["ate"]
    return out


def _selected(given: Inputs[np.ndarray]) -> dict[str, Value]:
    """The frames taken of each of the file's sequences."""
    out: dict[str, Value] = {}
    for key, posed in given.items():
        match = re.fullmatch(r"frames(\d+)_posed", key)
        if match is None:
            continue
        with_image = posed[posed != 0]  # in these files the image of frame 0 is missing
        count = int(given[f"frames{match[1]}_k"])
        out[f"frames{match[1]}_selected"] = np.asarray(select_frames(with_image, count))
    return out


CHECK = Check(
    name="scannet_50", kind="protocol", golden=("3",), outputs=outputs, needs=("protocol",)
)
