"""The start of global alignment, along the maximum spanning tree of the scene graph (Wang et al. 2024, §3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from bench3r.models.geometry import rigid_inverse
from bench3r.pairwise.aligned import check_focals
from bench3r.pairwise.disagreement import FOCAL_STEP, Alignment
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import focal_by_weiszfeld, pose_by_pnp, procrustes


def spanning_tree(predictions: PairPredictions) -> list[tuple[float, int, int]]:
    """Edges of the maximum spanning tree over the edge scores as (score, i, j), best last."""
    rows, columns = np.array(predictions.edges).T
    n = len(predictions.sizes)
    scores = coo_array((-np.array(predictions.edge_scores()), (rows, columns)), shape=(n, n))
    tree = minimum_spanning_tree(scores).tocoo()
    return sorted(zip((-tree.data).tolist(), tree.row.tolist(), tree.col.tolist(), strict=True))


@dataclass
class _Tree:
    """What is known along the spanning tree."""

    points: dict[int, Tensor]  # world points per image
    poses: dict[int, Tensor]
    focals: dict[int, Tensor]


def grow_tree(predictions: PairPredictions) -> _Tree:
    """World points of all images, from the best edge outwards; poses and focal lengths of the images on its first sides.

    As in the released code, the focal length of an image that is met anew comes from the edge that was placed before.
    """
    number = {e: n for n, e in enumerate(predictions.edges)}
    todo = spanning_tree(predictions)
    _, i, j = todo.pop()
    last = number[i, j]
    points1, points2 = predictions.points1, predictions.points2
    tree = _Tree(
        {i: points1[last], j: points2[last]}, {i: torch.eye(4, device=points1[last].device)}, {}
    )
    tree.focals[i] = focal_by_weiszfeld(points1[last])
    while todo:
        score, i, j = todo.pop()
        if i not in tree.focals:
            tree.focals[i] = focal_by_weiszfeld(points1[last])
        if i not in tree.points and j not in tree.points:
            todo.insert(0, (score, i, j))
            continue
        last = number[i, j]
        known, new = (i, j) if i in tree.points else (j, i)
        own, other = (points1, points2) if known == i else (points2, points1)
        conf = predictions.conf1 if known == i else predictions.conf2
        scale, rotation, shift = procrustes(
            own[last].reshape(-1, 3), tree.points[known].reshape(-1, 3), conf[last].flatten()
        )
        tree.points[new] = scale * other[last] @ rotation.T + shift
        if i not in tree.poses:  # predictions of an edge live in the frame of its first image
            tree.poses[i] = _motion(rotation, shift)
    return tree


def _motion(rotation: Tensor, shift: Tensor) -> Tensor:
    pose = torch.eye(4, device=shift.device)
    pose[:3, :3], pose[:3, 3] = rotation, shift
    return pose


def trusted(confidence: Tensor, least: float) -> Tensor:
    """Pixels [H, W] above a confidence of ``least``, or the better half of an image that is less sure of itself."""
    return confidence > min(least, float(confidence.median()))


def initialise(predictions: PairPredictions, min_confidence: float) -> Alignment:
    """The unknowns before optimisation. ``predictions`` must be connected.

    ``min_confidence``: of the points from which a missing pose is found.

    Raises InvalidPrediction when the points of an image fit no camera.
    """
    tree = grow_tree(predictions)
    scores = predictions.edge_scores()
    for n in sorted(range(len(scores)), key=lambda n: -scores[n]):
        tree.focals.setdefault(predictions.edges[n][0], focal_by_weiszfeld(predictions.points1[n]))
    confidence = predictions.image_confidence()
    for i in range(len(predictions.sizes)):
        if (
            i not in tree.focals
        ):  # an image that is the first of no edge: its points do not show its own rays
            tree.focals[i] = torch.tensor(
                float(max(predictions.sizes[i])), device=confidence[i].device
            )
        if i not in tree.poses:
            found = pose_by_pnp(
                tree.points[i], float(tree.focals[i]), trusted(confidence[i], min_confidence)
            )
            tree.poses[i] = torch.eye(4, device=confidence[i].device) if found is None else found
    check_focals(
        torch.stack([tree.focals[i] for i in range(len(predictions.sizes))]), predictions.sizes
    )
    state = Alignment(predictions.sizes, len(predictions.edges), confidence[0].device)
    for n, (i, _) in enumerate(predictions.edges):
        flat = (
            predictions.points1[n].reshape(-1, 3),
            tree.points[i].reshape(-1, 3),
            predictions.conf1[n].flatten(),
        )
        state.set_edge(n, *procrustes(*flat))
    factor = state.edge_scale_factor().detach()
    for i, pose in sorted(tree.poses.items()):
        pose = torch.cat(
            [pose[:, :3], pose[:, 3:] * pose.new_tensor([factor, factor, factor, 1.0])[:, None]], 1
        )
        camera = rigid_inverse(pose)
        depth = (factor * tree.points[i]) @ camera[2, :3] + camera[2, 3]
        state.set_pose(i, pose)
        with torch.no_grad():
            group, row = state.place[i]
            state.log_depth[group][row] = depth.log().nan_to_num(neginf=0.0)
            state.focal[i] = FOCAL_STEP * tree.focals[i].log()
    return state
