"""The start of global alignment along the maximum spanning tree (Wang et al. 2024, §3.4)."""

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

    points: dict[int, Tensor]  # [H, W, 3] world points of an image
    poses: dict[int, Tensor]  # [4, 4] camera to world
    focals: dict[int, Tensor]  # [] pixels


def grow_tree(predictions: PairPredictions) -> _Tree:
    """World points of all images, from the best edge outwards.

    Poses and focal lengths are those of images that are the first of an edge. As in the released
    code, the focal length of an image that is met anew comes from the edge that was placed before.
    """
    number = {e: n for n, e in enumerate(predictions.edges)}
    todo = spanning_tree(predictions)
    _, i, j = todo.pop()
    last = number[i, j]
    points1 = predictions.points1
    points2 = predictions.points2
    identity = torch.eye(4, device=points1[last].device)
    tree = _Tree({i: points1[last], j: points2[last]}, {i: identity}, {})
    tree.focals[i] = focal_by_weiszfeld(points1[last])
    while todo:
        score, i, j = todo.pop()
        if i not in tree.focals:
            tree.focals[i] = focal_by_weiszfeld(points1[last])
        if i not in tree.points and j not in tree.points:
            todo.insert(0, (score, i, j))
            continue
        last = number[i, j]
        if i in tree.points:
            known, new = i, j
            own, other, conf = points1[last], points2[last], predictions.conf1[last]
        else:
            known, new = j, i
            own, other, conf = points2[last], points1[last], predictions.conf2[last]
        placed = tree.points[known].reshape(-1, 3)
        scale, rotation, shift = procrustes(own.reshape(-1, 3), placed, conf.flatten())
        tree.points[new] = scale * other @ rotation.T + shift
        if i not in tree.poses:  # predictions of an edge live in the frame of its first image
            tree.poses[i] = _motion(rotation, shift)
    return tree


def _motion(rotation: Tensor, shift: Tensor) -> Tensor:
    pose = torch.eye(4, device=shift.device)
    pose[:3, :3] = rotation
    pose[:3, 3] = shift
    return pose


def trusted(confidence: Tensor, least: float) -> Tensor:
    """Pixels [H, W] with a confidence above ``least``, or the better half of a less sure image."""
    return confidence > min(least, float(confidence.median()))


def initialise(predictions: PairPredictions, min_confidence: float) -> Alignment:
    """The unknowns before optimisation. ``predictions`` must be connected.

    ``min_confidence``: of the points from which a missing pose is found. Raises InvalidPrediction
    when the points of an image fit no camera.
    """
    tree = grow_tree(predictions)
    complete(tree, predictions, min_confidence)
    images = range(len(predictions.sizes))
    check_focals(torch.stack([tree.focals[i] for i in images]), predictions.sizes)
    device = predictions.conf1[0].device
    state = Alignment(predictions.sizes, len(predictions.edges), device)
    for n, (i, _) in enumerate(predictions.edges):
        own = predictions.points1[n].reshape(-1, 3)
        placed = tree.points[i].reshape(-1, 3)
        state.set_edge(n, *procrustes(own, placed, predictions.conf1[n].flatten()))
    for i in images:
        _set_image(state, tree, i)
    return state


def complete(tree: _Tree, predictions: PairPredictions, min_confidence: float) -> None:
    """Fill in the poses and focal lengths that the tree does not give."""
    scores = predictions.edge_scores()
    for n in sorted(range(len(scores)), key=lambda n: -scores[n]):
        tree.focals.setdefault(predictions.edges[n][0], focal_by_weiszfeld(predictions.points1[n]))
    for i, confidence in enumerate(predictions.image_confidence()):
        device = confidence.device
        if i not in tree.focals:
            # an image that is the first of no edge: its points do not show its own rays
            tree.focals[i] = torch.tensor(float(max(predictions.sizes[i])), device=device)
        if i not in tree.poses:
            keep = trusted(confidence, min_confidence)
            found = pose_by_pnp(tree.points[i], float(tree.focals[i]), keep)
            tree.poses[i] = torch.eye(4, device=device) if found is None else found


def _set_image(state: Alignment, tree: _Tree, image: int) -> None:
    """Pose, z-depth and focal length of an image in the world whose size the edges give."""
    factor = state.edge_scale_factor().detach()
    pose = tree.poses[image]
    scale = pose.new_tensor([factor, factor, factor, 1.0])[:, None]
    pose = torch.cat([pose[:, :3], pose[:, 3:] * scale], 1)
    camera = rigid_inverse(pose)
    depth = (factor * tree.points[image]) @ camera[2, :3] + camera[2, 3]
    state.set_pose(image, pose)
    with torch.no_grad():
        group, row = state.place[image]
        state.log_depth[group][row] = depth.log().nan_to_num(neginf=0.0)
        state.focal[image] = FOCAL_STEP * tree.focals[image].log()
