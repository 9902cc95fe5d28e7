"""Protocol 4: angles between relative poses in three conventions, pooled and by sequence."""

from __future__ import annotations

import re

import numpy as np

from bench3r.metrics import pose
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Inputs, Outputs, Value

CONVENTIONS = ("pi3", "vggt", "da3")  # as the files call them
STILL = 1e-9  # distance of two cameras that stand in one place

Errors = tuple[np.ndarray, np.ndarray]  # degrees of rotation and translation, [pairs] each


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    names = _sequences(given)
    thresholds = golden.numbers_in_names(r"out_pooled_\w+_auc(\d+)")
    out = _pairs(given, names)
    for convention in CONVENTIONS:
        errors: dict[str, Errors] = {}
        for name in names:
            own, true = given[f"{name}_pred_w2c"], given[f"{name}_gt_w2c"]
            errors[name] = pose.relative_pose_errors(own, true, convention)
        out |= _of_convention(convention, errors, thresholds)
    if "edge_rot_deg" in given:
        out |= _edge_values((given["edge_rot_deg"], given["edge_trans_deg"]), thresholds)
    return prefixed("out_", out)


def _sequences(given: Inputs[np.ndarray]) -> list[str]:
    """Names of the sequences ("seq0") by number."""
    found = [m[1] for key in given if (m := re.fullmatch(r"seq(\d+)_gt_w2c", key))]
    return [f"seq{number}" for number in sorted(found, key=int)]


def _pairs(given: Inputs[np.ndarray], names: list[str]) -> dict[str, Value]:
    """The pairs of every sequence, and those whose cameras stand in one place."""
    out: dict[str, Value] = {}
    still = []
    for number, name in enumerate(names):
        true = given[f"{name}_gt_w2c"]
        found = pose.pairs(len(true))
        centres = np.linalg.inv(true)[:, :3, 3]
        baseline = np.linalg.norm(centres[found[:, 0]] - centres[found[:, 1]], axis=1)
        still += [[number, *pair] for pair in found[baseline < STILL].tolist()]
        out[f"{name}_pairs"] = found
    out["zero_baseline_pairs_seq_i_j"] = np.array(still, float).reshape(-1, 3)
    return out


def _of_convention(
    convention: str, errors: dict[str, Errors], thresholds: list[int]
) -> dict[str, Value]:
    """Angles of every pair, and the areas and shares of sequences and of all pairs together.

    Each up to the ``thresholds`` in degrees.
    """
    rotation = np.concatenate([e[0] for e in errors.values()])
    translation = np.concatenate([e[1] for e in errors.values()])
    out: dict[str, Value] = {}
    for name, each in errors.items():
        out[f"{name}_{convention}_rot_deg"] = each[0]
        out[f"{name}_{convention}_trans_deg"] = each[1]
    for t in thresholds:
        areas = {name: pose.pose_auc(*each, t) for name, each in errors.items()}
        out |= {f"{name}_{convention}_auc{t}": area for name, area in areas.items()}
        out[f"meanofseq_{convention}_auc{t}"] = float(np.mean(list(areas.values())))
        pooled = f"pooled_{convention}"
        worse = np.maximum(rotation, translation)
        out[f"{pooled}_auc{t}"] = pose.pose_auc(rotation, translation, t)
        out[f"{pooled}_auc_torch_variant{t}"] = _torch_auc(worse, t)
        out[f"{pooled}_rra{t}"] = pose.share_below(rotation, t)
        out[f"{pooled}_rta{t}"] = pose.share_below(translation, t)
    return out


def _torch_auc(error: np.ndarray, threshold: int) -> float:
    """Another published area, with one bin too many over the same range.

    It is in no table; it stands here so that nobody takes it for the AUC.
    """
    counts, _ = np.histogram(error, bins=threshold + 1, range=(0, threshold))
    return float((counts / len(error)).cumsum().mean())


def _edge_values(angles: Errors, thresholds: list[int]) -> dict[str, Value]:
    """Areas, histograms and shares of given angles at the edges of bins."""
    out: dict[str, Value] = {}
    for t in thresholds:
        out[f"edge_auc{t}"] = pose.pose_auc(*angles, t)
        out[f"edge_hist{t}"] = pose.pose_histogram(*angles, t)
        out[f"edge_rra{t}"] = pose.share_below(angles[0], t)
        out[f"edge_rta{t}"] = pose.share_below(angles[1], t)
    return out


CHECK = Check(
    name="relative_poses", kind="protocol", golden=("4",), outputs=outputs, needs=("protocol",)
)
