"""Parity of metrics: the outputs of official evaluation code, computed again from the inputs in a golden file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench3r.api.errors import Bench3RError
from bench3r.data.frame_lists import select_frames
from bench3r.metrics import clouds, depth, dtu, normalised, pose, scannet50, window
from bench3r.metrics.alignment import icp, move, umeyama
from bench3r.models.geometry import decode_pose
from bench3r.protocols.base import unproject

Arrays = dict[str, np.ndarray]
CENTIMETRES = {"t002": 0.02, "t005": 0.05, "t010": 0.1}


def metric_outputs(case: dict[str, Any], arrays: Arrays, where: str) -> Arrays:
    """All arrays of a case of kind "protocol". Raises Bench3RError for protocols without an implementation here."""
    number = re.match(r"\s*(\d+)\s*:", str(case["protocol"]))
    if number is None or int(number[1]) not in RULES:
        raise Bench3RError(
            f"{where}: protocol {case['protocol']!r} is unknown: expected a number from 1 to {max(RULES)}"
        )
    given = {k.removeprefix("in_"): v for k, v in arrays.items() if k.startswith("in_")}
    if "out_pred_resized" in arrays:
        given["official_resized"] = arrays["out_pred_resized"]
    given = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in given.items()}
    try:
        found = RULES[int(number[1])](given)
    except KeyError as error:
        raise Bench3RError(f"{where}: the file lacks the array in_{error.args[0]}") from error
    return {f"out_{k}": np.asarray(v) for k, v in found.items()}


def _distances(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    found = clouds.accuracy_completeness(predicted, truth)
    found.pop("chamfer")
    return found


def _refined(predicted: np.ndarray, truth: np.ndarray, reach: float) -> dict[str, Any]:
    """ICP and the distances and normals after it."""
    refined = icp(predicted, truth, reach)
    moved = move(refined.transform, predicted)
    return {
        "icp_T": refined.transform,
        "icp_fitness": refined.fitness,
        "icp_inlier_rmse": refined.inlier_rmse,
        "icp_num_corr": refined.correspondences,
        **_distances(moved, truth),
        **clouds.normal_consistency(moved, truth),
    }


def point_maps(given: Arrays) -> dict[str, Any]:
    """1: Pi3's rules."""
    valid = given["valid"].astype(bool)
    predicted, truth = given["pred_pts"][valid], given["gt_pts"][valid]
    s = umeyama(predicted, truth)
    similar = s.apply(predicted)
    out: dict[str, Any] = {
        "umeyama_scale": s.scale,
        "umeyama_R": s.rotation,
        "umeyama_t": s.translation,
    }
    out |= {f"noicp_{k}": v for k, v in _distances(similar, truth).items()}
    out |= _refined(similar, truth, float(given["icp_max_dist"]))
    return {**out, "cd_half_sum": (out["acc_mean"] + out["comp_mean"]) / 2}


def windows(given: Arrays) -> dict[str, Any]:
    """2: the CUT3R family's rules, in both forms."""
    _view, row, column = given["valid_index"].astype(int).T
    height, width = (int(n) for n in given["image_hw"])
    first = given["gt_c2w"][0]
    both = window.normalise(
        given["pred_pts_valid"], move(np.linalg.inv(first), given["gt_pts_valid"])
    )
    scored = window.in_window(height, width)[row, column]
    own, true = both.predicted[scored], both.truth[scored]
    back = [move(first, p + np.array([0.0, 0.0, both.true_frame.shift])) for p in (own, true)]
    frames = {
        "gt_shift_z": both.true_frame.shift,
        "pred_shift_z": both.predicted_frame.shift,
        "gt_scale": both.true_frame.scale,
        "pred_scale": both.predicted_frame.scale,
        "num_points": len(own),
    }
    out: dict[str, Any] = {}
    for name, (a, b) in {"cut3r": back, "fastvggt": (own, true)}.items():
        out |= {f"{name}_f64_{k}": v for k, v in {**frames, **_refined(a, b, 0.1)}.items()}
    return out


def scannet_50(given: Arrays) -> dict[str, Any]:
    """3: FastVGGT's ScanNet-50."""
    maps = given["pred_depth"]
    decoded = decode_pose(torch.from_numpy(given["pose_enc"])[None], (maps.shape[1], maps.shape[2]))
    extrinsics, intrinsics = (t[0].numpy() for t in decoded)
    sure = given["pred_conf"] >= scannet50.LEAST_CONFIDENCE
    every, ids = given["gt_c2w_all"], given["gt_pose_ids"].tolist()
    points = move(every[0], unproject(maps, extrinsics, intrinsics)[sure])
    found = scannet50.box_chamfer(points, given["gt_vertices"])
    own = np.concatenate([extrinsics, np.broadcast_to([0.0, 0, 0, 1], (len(extrinsics), 1, 4))], 1)
    # the world of the truth is its first camera with a pose: world-to-camera positions depend on that choice
    true = np.linalg.inv(every[[ids.index(i) for i in given["selected_ids"].tolist()]]) @ every[0]
    chosen = scannet50.subsample(123457)
    out = {
        "num_points_conf_ok": int(sure.sum()),
        "bbox_scale": found.scale,
        "num_voxels_pred": found.predicted_voxels,
        "num_voxels_gt": found.true_voxels,
        "mean_clipped_pred_to_gt": found.predicted_to_true,
        "mean_clipped_gt_to_pred": found.true_to_predicted,
        "chamfer_sum": found.chamfer,
        **scannet50.w2c_trajectory(own, true),
        "pred_extrinsic": extrinsics,
        "pred_intrinsic": intrinsics,
        "subsample_first20_of_123457": chosen[:20],
        "subsample_sum_of_123457": chosen.sum(),
    }
    for name, (a, b) in {
        "w2c": (own, true),
        "c2w": (np.linalg.inv(own), np.linalg.inv(true)),
    }.items():
        out[f"ate_sim3_{name}"] = scannet50.w2c_trajectory(a, b, origin=False)["ate"]
        out[f"ate_sim3_then_first_pose_{name}"] = scannet50.w2c_trajectory(a, b)["ate"]
    for key, posed in given.items():
        if match := re.fullmatch(r"frames(\d+)_posed", key):
            with_image = posed[posed != 0]  # in these files the image of frame 0 is missing
            out[f"frames{match[1]}_selected"] = select_frames(
                with_image, int(given[f"frames{match[1]}_k"])
            )
    return out


def relative_poses(given: Arrays) -> dict[str, Any]:
    """4: angles of pairs in three conventions, pooled and averaged over sequences."""
    out: dict[str, Any] = {}
    names = sorted(
        {m[1] for k in given if (m := re.fullmatch(r"(seq\d+)_gt_w2c", k))},
        key=lambda n: int(n[3:]),
    )
    flat = []
    for number, name in enumerate(names):
        out[f"{name}_pairs"] = found = pose.pairs(len(given[f"{name}_gt_w2c"]))
        centres = np.linalg.inv(given[f"{name}_gt_w2c"])[:, :3, 3]
        still = np.linalg.norm(centres[found[:, 0]] - centres[found[:, 1]], axis=1) < 1e-9
        flat += [[number, *pair] for pair in found[still].tolist()]
    out["zero_baseline_pairs_seq_i_j"] = np.array(flat, float).reshape(-1, 3)
    for convention in ("pi3", "vggt", "da3"):
        errors = {
            n: pose.relative_pose_errors(given[f"{n}_pred_w2c"], given[f"{n}_gt_w2c"], convention)
            for n in names
        }
        every = [np.concatenate([e[k] for e in errors.values()]) for k in range(2)]
        for name, (rotation, translation) in errors.items():
            out |= {
                f"{name}_{convention}_rot_deg": rotation,
                f"{name}_{convention}_trans_deg": translation,
            }
        for t in (3, 5, 15, 30):
            each = {n: pose.pose_auc(*e, t) for n, e in errors.items()}
            out |= {f"{n}_{convention}_auc{t}": v for n, v in each.items()}
            out[f"meanofseq_{convention}_auc{t}"] = float(np.mean(list(each.values())))
            out[f"pooled_{convention}_auc{t}"] = pose.pose_auc(every[0], every[1], t)
            out[f"pooled_{convention}_auc_torch_variant{t}"] = _torch_auc(np.maximum(*every), t)
            out[f"pooled_{convention}_rra{t}"] = pose.share_below(every[0], t)
            out[f"pooled_{convention}_rta{t}"] = pose.share_below(every[1], t)
    if "edge_rot_deg" in given:
        edge = given["edge_rot_deg"], given["edge_trans_deg"]
        for t in (3, 5, 15, 30):
            out |= {
                f"edge_auc{t}": pose.pose_auc(*edge, t),
                f"edge_hist{t}": pose.pose_histogram(*edge, t),
                f"edge_rra{t}": pose.share_below(edge[0], t),
                f"edge_rta{t}": pose.share_below(edge[1], t),
            }
    return out


def _torch_auc(error: np.ndarray, threshold: int) -> float:
    """Pi3's other area, with one bin too many over the same range; in no table, here so that nobody takes it for the AUC."""
    counts, _ = np.histogram(error, bins=threshold + 1, range=(0, threshold))
    return float((counts / len(error)).cumsum().mean())


def trajectory(given: Arrays) -> dict[str, Any]:
    """5: ATE and RPE of camera centres."""
    own, true = given["pred_c2w"], given["gt_c2w"]
    s = pose.align_trajectory(own, true)
    errors = pose.position_errors(pose.move_trajectory(own, s), true)
    return {
        **pose.trajectory_errors(own, true),
        "sim3_scale": s.scale,
        "sim3_R": s.rotation,
        "sim3_t": s.translation,
        "position_errors": errors,
    }


def depth_maps(given: Arrays) -> dict[str, Any]:
    """6: depth of a sequence in every scale mode.

    Where the file holds the official resized maps, the scale modes start from them: Adam on signs turns the last bit of a
    float32 into a relative 1e-6. The resizing itself is compared in its own row.
    """
    truth = given["gt_depth"]
    resized = depth.resize_cubic(
        given["pred_depth_small"], (truth.shape[1], truth.shape[2])
    ).astype(np.float32)
    farthest, clip = float(given["max_depth"]), float(given["post_clip_max"])
    valid = (truth > 0) & (truth < (farthest if farthest > 0 else np.inf))
    p, t = given.get("official_resized", resized)[valid].astype(np.float64), truth[valid]
    scale, median = depth.reweighted_scale(p, t), depth.median_ratio(p, t, lower=True)
    moved, fitted = depth.descended_scale_shift(p, t), depth.fitted_scale_shift(p, t)
    out: dict[str, Any] = {
        "pred_resized": resized,
        "scale_f64_s": scale,
        "scaleshift_f64_s_init": median,
        "scaleshift_f64_s": moved[0],
        "scaleshift_f64_t": moved[1],
    }
    modes = {
        "scale": (scale, 0.0),
        "scaleshift": moved,
        "median": (median, 0.0),
        "metric": (1.0, 0.0),
        "lstsq": fitted,
    }
    for name, (s, shift) in modes.items():
        aligned = np.minimum(s * p + shift, clip) if clip > 0 else s * p + shift
        out |= {f"{name}_f64_{k}": v for k, v in depth.depth_errors(aligned, t).items()}
        out[f"{name}_f64_valid"] = int(valid.sum())
    out |= _lite3r_depth(
        given.get("official_resized", resized.astype(np.float64)), truth, "lite3r_", with_scale=True
    )
    own = depth.depth_mse(p, t)
    return {
        **out,
        "own_median_scale": depth.median_ratio(p, t),
        "own_dmse": own["mse"],
        "own_dmse_norm": own["mse_norm"],
    }


def _lite3r_depth(
    predicted: np.ndarray, truth: np.ndarray, prefix: str, with_scale: bool = False
) -> dict[str, float]:
    """Lite3R's depth errors: all pixels with true depth, however far; predictions of at least 1e-3."""
    errors, scale = normalised.depth_errors(predicted, truth)
    out = {f"{prefix}{k}": v for k, v in errors.items()}
    return {**out, f"{prefix}s": scale} if with_scale else out


def lite3r(given: Arrays) -> dict[str, Any]:
    """7: Lite3R's pose, point and depth errors."""
    bottom = [0.0, 0, 0, 1]
    square = [
        np.concatenate([given[k], np.broadcast_to(bottom, (len(given[k]), 1, 4))], 1)
        for k in ("pred_w2c", "gt_w2c")
    ]
    own, true = (normalised.relative_to_first(w) for w in square)
    rotation = normalised.rotation_errors(own, true)
    a = unproject(given["pred_depth"], own[:, :3], given["K"]).reshape(-1, 3)
    b = move(square[1][0], given["gt_world_points"][given["valid"].astype(bool)])
    forward, back, _, _ = clouds.cloud_distances(a, b)
    chamfer = normalised.squared_chamfer(forward.distance, back.distance)
    f = clouds.fscore_of(forward.distance, back.distance, 0.05)["fscore"]
    return {
        "rot_err_deg": rotation.mean(),
        "rot_err_per_view": rotation,
        "rot_err_deg_without_ref": rotation[1:].mean(),
        "trans_err": normalised.translation_errors(own, true).mean(),
        "chamfer": chamfer,
        "chamfer_exact_f64": chamfer,
        "fscore_005": f,
        "fscore_005_exact_f64": f,
        "pred_points": a,
        "gt_points": b,
        **_lite3r_depth(given["pred_depth"], given["gt_depth"], "depth_"),
    }


def dtu_surface(given: Arrays) -> dict[str, Any]:
    """8: DTU's own evaluation in the stored order and after the shuffle of seed 42."""
    seen = dtu.Observation(given["ObsMask"], given["BB"], float(given["Res"]), given["plane"])
    shuffled = given["pred_points"].copy()
    np.random.default_rng(42).shuffle(shuffled, axis=0)
    out: dict[str, Any] = {}
    for name, points in {"stored_order": given["pred_points"], "seed42": shuffled}.items():
        found = dtu.evaluate(points, given["stl_points"], seen)
        out |= {
            f"{name}_acc": found.acc,
            f"{name}_comp": found.comp,
            f"{name}_overall": found.overall,
        }
        out |= {f"{name}_n_{k}": v for k, v in found.counts.items()} | {
            f"{name}_keep_mask": found.keep
        }
    return out | {f"da3_{k}": out[f"seed42_{k}"] for k in ("acc", "comp", "overall")}


def fscores(given: Arrays) -> dict[str, Any]:
    """9: F-scores of given clouds, plain and after averaging in voxels of 4 cm."""
    own, true = given["pred_points"], given["gt_points"]
    size = clouds.diagonal(true)
    thresholds = {**CENTIMETRES, "d1pct": 0.01 * size}
    forward, back, _, _ = clouds.cloud_distances(own, true)
    acc, comp = float(forward.distance.mean()), float(back.distance.mean())
    out: dict[str, Any] = {
        "acc": acc,
        "comp": comp,
        "chamfer_half_sum": (acc + comp) / 2,
        "chamfer_sum": acc + comp,
        "chamfer_sq_half_sum": normalised.squared_chamfer(forward.distance, back.distance),
        "gt_bbox_diagonal": size,
    }
    thick = clouds.cloud_distances(
        clouds.voxel_average(own, 0.04), clouds.voxel_average(true, 0.04)
    )
    means = [float(n.distance.mean()) for n in thick[:2]]
    for name, t in thresholds.items():
        plain = clouds.fscore_of(forward.distance, back.distance, t)
        out |= {f"{name}_{k}": v for k, v in plain.items()} | {f"{name}_threshold": t}
        voxels = clouds.fscore_of(thick[0].distance, thick[1].distance, t)
        voxels |= {"acc": means[0], "comp": means[1], "overall": sum(means) / 2}
        out |= {f"da3_vox4cm_{name}_{k}": v for k, v in voxels.items()}
    return out


RULES: dict[int, Callable[[Arrays], dict[str, Any]]] = {
    1: point_maps,
    2: windows,
    3: scannet_50,
    4: relative_poses,
    5: trajectory,
    6: depth_maps,
    7: lite3r,
    8: dtu_surface,
    9: fscores,
}
