"""The unknowns of global alignment and what is minimised over them (Wang et al. 2024, §3.4, equation 5).

The gradient is written out edge by edge, so that memory grows with the predictions and not with an autograd graph over
all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.models.geometry import quaternion_to_rotation, rotation_to_quaternion
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import pixel_grid

FOCAL_STEP = (
    20.0  # a focal length is exp(parameter / 20), so that it moves with the others' step size
)
BASE_SCALE = 0.5  # geometric mean of the edges' scales: keeps the world from shrinking to a point
SIDE_POINTS = 60_000  # points compared at a time


def signed_log1p(x: Tensor) -> Tensor:
    """Logarithm that keeps the sign and is linear at 0."""
    return x.sign() * x.abs().log1p()


def signed_expm1(x: Tensor) -> Tensor:
    """Inverse of :func:`signed_log1p`."""
    return x.sign() * x.abs().expm1()


class Alignment(nn.Module):
    """The unknowns: log depth, pose (quaternion, log translation) and focal length per image; similarity per edge.

    Images of one size form a group whose depth maps are one tensor.
    """

    def __init__(self, sizes: list[tuple[int, int]], edges: int, device: torch.device) -> None:
        super().__init__()
        self.sizes = sizes
        self.groups = [
            [i for i, s in enumerate(sizes) if s == size] for size in dict.fromkeys(sizes)
        ]
        self.place = {
            i: (g, row) for g, members in enumerate(self.groups) for row, i in enumerate(members)
        }
        identity = torch.tensor([0.0, 0, 0, 1, 0, 0, 0], device=device)
        self.log_depth = nn.ParameterList(
            torch.zeros(len(g), *sizes[g[0]], device=device) for g in self.groups
        )
        self.image_pose = nn.Parameter(identity.repeat(len(sizes), 1))
        self.focal = nn.Parameter(torch.zeros(len(sizes), device=device))
        self.edge_pose = nn.Parameter(torch.cat([identity, identity.new_zeros(1)]).repeat(edges, 1))

    def focals(self) -> Tensor:
        """Focal lengths [S] in pixels."""
        return (self.focal / FOCAL_STEP).exp()

    def depths(self) -> list[Tensor]:
        """Depth maps [H, W], one per image."""
        return [
            self.log_depth[g][row].exp()
            for g, row in (self.place[i] for i in range(len(self.sizes)))
        ]

    def poses(self) -> Tensor:
        """Camera to world [S, 4, 4]."""
        return _rigid(self.image_pose)

    def edge_scale_factor(self) -> Tensor:
        """What all edges' scales are multiplied by, so that their geometric mean is ``BASE_SCALE``."""
        return (math.log(BASE_SCALE) - self.edge_pose[:, 7].mean()).exp()

    def edge_poses(self) -> Tensor:
        """Similarities [E, 4, 4] from the frame of an edge's first image to the world."""
        scale = self.edge_pose[:, 7].exp() * self.edge_scale_factor()
        rigid = _rigid(self.edge_pose)
        return torch.cat([rigid[:, :3] * scale[:, None, None], rigid[:, 3:]], 1)

    def rays(self, stride: int) -> list[Tensor]:
        """Pixels from the middle of the image [2, N] of every ``stride``-th pixel, one tensor per group."""
        device, out = self.focal.device, []
        for members in self.groups:
            height, width = self.sizes[members[0]]
            grid = pixel_grid(height, width, device) - torch.tensor(
                [width / 2, height / 2], device=device
            )
            out.append(grid[::stride, ::stride].reshape(-1, 2).T.contiguous())
        return out

    def world(self, rays: list[Tensor], stride: int) -> list[Tensor]:
        """World points [S of the group, 3, N] of the pixels of :meth:`rays`, one tensor per group."""
        poses, focals, out = self.poses(), self.focals(), []
        for members, log_depth, ray in zip(self.groups, self.log_depth, rays, strict=True):
            depth = log_depth[:, None, ::stride, ::stride].flatten(2).exp()
            camera = torch.cat([ray * (depth / focals[members][:, None, None]), depth], 1)
            pose = poses[members]
            out.append(torch.baddbmm(pose[:, :3, 3:], pose[:, :3, :3], camera))
        return out

    @torch.no_grad()
    def set_pose(self, image: int, pose: Tensor) -> None:
        """Camera to world [4, 4] of an image."""
        self.image_pose[image, :4] = rotation_to_quaternion(pose[:3, :3])
        self.image_pose[image, 4:] = signed_log1p(pose[:3, 3])

    @torch.no_grad()
    def set_edge(self, edge: int, scale: Tensor, rotation: Tensor, shift: Tensor) -> None:
        """Similarity of an edge. Its translation is stored in units of its scale."""
        self.edge_pose[edge, :4] = rotation_to_quaternion(rotation)
        self.edge_pose[edge, 4:7] = signed_log1p(shift / scale)
        self.edge_pose[edge, 7] = scale.log()


def _rigid(parameters: Tensor) -> Tensor:
    """Quaternion and log translation [N, 7 or more] -> motions [N, 4, 4]."""
    top = torch.cat(
        [quaternion_to_rotation(parameters[:, :4]), signed_expm1(parameters[:, 4:7])[..., None]], -1
    )
    bottom = parameters.new_tensor([0.0, 0, 0, 1]).expand(len(parameters), 1, 4)
    return torch.cat([top, bottom], 1)


@dataclass
class Sides:
    """Some sides of edges whose images have one size: what each predicts about its image, and how much it weighs."""

    group: int
    edges: Tensor  # [M]
    rows: Tensor  # [M] of the images in their group
    points: Tensor  # [M, 3, N]: one coordinate after the other, which is quickest
    weight: Tensor  # [M, N]


class _Disagreement(torch.autograd.Function):
    """Sum of weighted distances of world points from transformed predictions, with its gradient."""

    @staticmethod
    def forward(ctx: Any, sides: list[Sides], transforms: Tensor, *worlds: Tensor) -> Tensor:
        to_worlds, to_edges = [torch.zeros_like(w) for w in worlds], torch.zeros_like(transforms)
        total = transforms.new_zeros((), dtype=torch.float64)
        for side in sides:
            matrix, shift = transforms[side.edges, :3, :3], transforms[side.edges, :3, 3:]
            difference = torch.baddbmm(
                worlds[side.group][side.rows] - shift, matrix, side.points, alpha=-1
            )
            distance = (difference * difference).sum(1).sqrt_()
            total += (distance * side.weight).sum()
            difference *= (side.weight / distance.clamp_(min=1e-20))[
                :, None
            ]  # unit vector times weight; 0 stays 0
            to_worlds[side.group].index_add_(0, side.rows, difference)
            to_edges[:, :3, :3].index_add_(0, side.edges, difference @ side.points.mT, alpha=-1)
            to_edges[:, :3, 3].index_add_(0, side.edges, difference.sum(2), alpha=-1)
        ctx.save_for_backward(to_edges, *to_worlds)
        return total.to(transforms.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return None, *(saved * gradients[0] for saved in ctx.saved_tensors)


def edge_sides(state: Alignment, predictions: PairPredictions, stride: int) -> list[Sides]:
    """Both sides of all edges, in parts that stay in a processor's cache.

    A pixel weighs the logarithm of its confidence, over the pixels of all edges on that side.
    """
    found: dict[int, list[tuple[int, int, Tensor, Tensor]]] = {
        g: [] for g in range(len(state.groups))
    }
    for side, points, conf in (
        (0, predictions.points1, predictions.conf1),
        (1, predictions.points2, predictions.conf2),
    ):
        picked = [c[::stride, ::stride].flatten() for c in conf]
        area = sum(c.numel() for c in picked)
        for number, edge in enumerate(predictions.edges):
            group, row = state.place[edge[side]]
            found[group].append(
                (
                    number,
                    row,
                    points[number][::stride, ::stride].reshape(-1, 3).T,
                    picked[number].log() / area,
                )
            )
    out = []
    for group, parts in found.items():
        parts.sort(key=lambda p: p[1])
        size = max(1, SIDE_POINTS // max(1, len(parts[0][3]) if parts else 1))
        for start in range(0, len(parts), size):
            edges, rows, points_, weights = zip(*parts[start : start + size], strict=True)
            device = weights[0].device
            index = torch.tensor(edges, device=device), torch.tensor(rows, device=device)
            out.append(Sides(group, index[0], index[1], torch.stack(points_), torch.stack(weights)))
    return out


class Problem:
    """What an alignment minimises: the disagreement of world points with what the edges say about them."""

    def __init__(self, state: Alignment, predictions: PairPredictions, stride: int = 1) -> None:
        self.state, self.stride = state, stride
        self.sides, self.rays = edge_sides(state, predictions, stride), state.rays(stride)

    def loss(self) -> Tensor:
        """Weighted mean distance between each image's world points and what every edge says they are."""
        return _Disagreement.apply(
            self.sides, self.state.edge_poses(), *self.state.world(self.rays, self.stride)
        )
