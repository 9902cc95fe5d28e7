"""Global alignment (Wang et al. 2024, §3.4): one world from point maps of pairs.

Every image gets a pose, a focal length and a depth map, every edge a similarity; their disagreement
is minimised from a start along the maximum spanning tree. Two images need no optimisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.api.errors import InvalidPrediction
from bench3r.models.geometry import rigid_inverse
from bench3r.pairwise.aligned import Aligned, check_focals
from bench3r.pairwise.descent import Schedule, converged, minimise
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import focal_by_weiszfeld, pose_by_pnp
from bench3r.pairwise.spanning import initialise, trusted

# relative change of the loss over the last tenth of the iterations, below which it has converged
CONVERGED = 1e-3


@dataclass(frozen=True)
class AlignmentOptions:
    """How the disagreement is minimised; the defaults are the official ones."""

    iterations: int = 300
    lr: float = 0.01
    final_lr: float = 1e-6
    min_confidence: float = 3.0  # of the points from which a missing pose is found
    stride: int = 1  # every stride-th pixel of rows and columns takes part


def align(predictions: PairPredictions, options: AlignmentOptions) -> Aligned:
    """Optimise from :func:`initialise` (Adam, cosine schedule).

    ``predictions`` must be connected. With ``options.stride`` above 1 only those pixels take part;
    the depth between them is corrected by the interpolated correction of its neighbours.

    Raises InvalidPrediction when the loss or a focal length leaves all bounds.
    """
    with torch.inference_mode(False), torch.enable_grad():
        predictions = predictions.plain()
        state = initialise(predictions, options.min_confidence)
        before = [d.detach().log() for d in state.depths()]
        problem = Problem(state, predictions, options.stride)
        schedule = Schedule(options.iterations, options.lr, options.final_lr)
        losses = minimise(problem.loss, state.parameters(), schedule, "global alignment")
        with torch.no_grad():
            losses.append(float(problem.loss()))
            check_focals(state.focals(), predictions.sizes)
            depths = []
            for start, end in zip(before, state.depths(), strict=True):
                depths.append(_fill_in(start, end.log(), options.stride).exp())
            return Aligned(
                poses=state.poses().detach(),
                focals=state.focals().detach(),
                depths=depths,
                confidence=predictions.image_confidence(),
                loss=losses[-1],
                start_loss=losses[0],
                converged=converged(losses, CONVERGED),
                iterations=options.iterations,
            )


def _fill_in(before: Tensor, after: Tensor, stride: int) -> Tensor:
    """Log depth [H, W] everywhere, from its change at every ``stride``-th pixel."""
    if stride == 1:
        return after
    change = (after - before)[None, None, ::stride, ::stride]
    height, width = before.shape
    rows = 1 + (change.shape[2] - 1) * stride
    columns = 1 + (change.shape[3] - 1) * stride
    dense = F.interpolate(change, (rows, columns), mode="bilinear", align_corners=True)
    whole = F.pad(dense, (0, width - columns, 0, height - rows), mode="replicate")
    return before + whole[0, 0]


def align_two(predictions: PairPredictions, options: AlignmentOptions) -> Aligned:
    """Two images in closed form.

    The more confident of the two passes gives points, focal lengths and relative pose. Raises
    InvalidPrediction when no pose explains the points of the second view.
    """
    scores = predictions.edge_scores()
    n = max(range(len(scores)), key=lambda n: scores[n])
    first, second = predictions.edges[n]
    focals = _focals_of_two(predictions)
    check_focals(focals, predictions.sizes)
    points2 = predictions.points2[n]
    keep = trusted(predictions.conf2[n], options.min_confidence)
    pose = pose_by_pnp(points2, float(focals[second]), keep)
    if pose is None:
        raise InvalidPrediction(
            f"no pose of image {second} explains its points in the frame of image {first}"
        )
    poses = torch.eye(4).repeat(2, 1, 1).to(points2)
    poses[second] = pose
    camera = rigid_inverse(pose)
    depths = [predictions.points1[n][..., 2], points2 @ camera[2, :3] + camera[2, 3]]
    return Aligned(
        poses=poses,
        focals=focals,
        depths=depths if first == 0 else depths[::-1],
        confidence=predictions.image_confidence(),
        loss=math.nan,
        start_loss=math.nan,
        converged=True,
        iterations=0,
    )


def _focals_of_two(predictions: PairPredictions) -> Tensor:
    """Focal lengths [2] of two images; an image without points of its own has the other's."""
    focals = predictions.points1[0].new_zeros(2)
    for (first, _), points in zip(predictions.edges, predictions.points1, strict=True):
        focals[first] = focal_by_weiszfeld(points)
    firsts = {first for first, _ in predictions.edges}
    if len(firsts) == 1:
        first = firsts.pop()
        focals[1 - first] = focals[first]
    return focals
