"""The unknowns of global alignment and what is minimised over them.

Wang et al. 2024, §3.4, equation 5. The gradient is written out edge by edge, so that memory grows
with the predictions and not with an autograd graph over all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench3r.models.geometry import quaternion_to_rotation, rotation_to_quaternion
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import pixel_grid

# a focal length is exp(parameter / 20), so that it moves with the others' step size
FOCAL_STEP = 20.0
BASE_SCALE = 0.5  # geometric mean of the edges' scales: keeps the world from shrinking to a point
SIDE_POINTS = 60_000  # points compared at a time


def signed_log1p(x: Tensor) -> Tensor:
    """Logarithm of ``x`` [...] that keeps the sign and is linear at 0."""
    return x.sign() * x.abs().log1p()


def signed_expm1(x: Tensor) -> Tensor:
    """Inverse of :func:`signed_log1p` for ``x`` [...]."""
    return x.sign() * x.abs().expm1()


class Alignment(nn.Module):
    """The unknowns: of every image log depth, pose and focal length; of every edge a similarity.

    A pose is a quaternion and a log translation. Images of one size form a group whose depth maps
    are one tensor.
    """

    def __init__(self, sizes: list[tuple[int, int]], edges: int, device: torch.device) -> None:
        super().__init__()
        self.sizes = sizes
        by_size: dict[tuple[int, int], list[int]] = {}
        for image, size in enumerate(sizes):
            by_size.setdefault(size, []).append(image)
        self.groups = list(by_size.values())
        self.place: dict[int, tuple[int, int]] = {}  # image -> its group and row there
        for g, members in enumerate(self.groups):
            for row, image in enumerate(members):
                self.place[image] = (g, row)
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
        out = []
        for image in range(len(self.sizes)):
            group, row = self.place[image]
            out.append(self.log_depth[group][row].exp())
        return out

    def poses(self) -> Tensor:
        """Camera to world [S, 4, 4]."""
        return _rigid(self.image_pose)

    def edge_scale_factor(self) -> Tensor:
        """The factor [] of all edges' scales that makes their geometric mean ``BASE_SCALE``."""
        return (math.log(BASE_SCALE) - self.edge_pose[:, 7].mean()).exp()

    def edge_poses(self) -> Tensor:
        """Similarities [E, 4, 4] from the frame of an edge's first image to the world."""
        scale = self.edge_pose[:, 7].exp() * self.edge_scale_factor()
        rigid = _rigid(self.edge_pose)
        return torch.cat([rigid[:, :3] * scale[:, None, None], rigid[:, 3:]], 1)

    def rays(self, stride: int) -> list[Tensor]:
        """Offsets [2, N] of every ``stride``-th pixel from the middle of the image, by group."""
        device = self.focal.device
        out = []
        for members in self.groups:
            height, width = self.sizes[members[0]]
            middle = torch.tensor([width / 2, height / 2], device=device)
            grid = pixel_grid(height, width, device) - middle
            out.append(grid[::stride, ::stride].reshape(-1, 2).T.contiguous())
        return out

    def world(self, rays: list[Tensor], stride: int) -> list[Tensor]:
        """World points [S of the group, 3, N] of the pixels of :meth:`rays`, by group."""
        poses = self.poses()
        focals = self.focals()
        out = []
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
        """Similarity of an edge: ``scale`` [], ``rotation`` [3, 3], ``shift`` [3].

        Its translation is stored in units of its scale.
        """
        self.edge_pose[edge, :4] = rotation_to_quaternion(rotation)
        self.edge_pose[edge, 4:7] = signed_log1p(shift / scale)
        self.edge_pose[edge, 7] = scale.log()


def _rigid(parameters: Tensor) -> Tensor:
    """Quaternion and log translation [N, 7 or more] -> motions [N, 4, 4]."""
    rotation = quaternion_to_rotation(parameters[:, :4])
    shift = signed_expm1(parameters[:, 4:7])[..., None]
    top = torch.cat([rotation, shift], -1)
    bottom = parameters.new_tensor([0.0, 0, 0, 1]).expand(len(parameters), 1, 4)
    return torch.cat([top, bottom], 1)


@dataclass
class Sides:
    """Some sides of edges whose images have one size: what each predicts, and its weight."""

    group: int
    edges: Tensor  # [M]
    rows: Tensor  # [M] of the images in their group
    points: Tensor  # [M, 3, N]: one coordinate after the other, which is quickest
    weight: Tensor  # [M, N]


class _Disagreement(torch.autograd.Function):
    """Sum of weighted distances of world points from transformed predictions, with its gradient."""

    @staticmethod
    def forward(ctx: Any, sides: list[Sides], transforms: Tensor, *worlds: Tensor) -> Tensor:
        to_worlds = [torch.zeros_like(w) for w in worlds]
        to_edges = torch.zeros_like(transforms)
        total = transforms.new_zeros((), dtype=torch.float64)
        for side in sides:
            matrix = transforms[side.edges, :3, :3]
            apart = worlds[side.group][side.rows] - transforms[side.edges, :3, 3:]
            difference = torch.baddbmm(apart, matrix, side.points, alpha=-1)
            distance = (difference * difference).sum(1).sqrt_()
            total += (distance * side.weight).sum()
            # unit vector times weight; 0 stays 0
            difference *= (side.weight / distance.clamp_(min=1e-20))[:, None]
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
    out = []
    for group, parts in enumerate(_by_group(state, predictions, stride)):
        parts.sort(key=lambda part: part.row)
        size = max(1, SIDE_POINTS // max(1, len(parts[0].weight) if parts else 1))
        for start in range(0, len(parts), size):
            chosen = parts[start : start + size]
            device = chosen[0].weight.device
            sides = Sides(
                group,
                torch.tensor([part.edge for part in chosen], device=device),
                torch.tensor([part.row for part in chosen], device=device),
                torch.stack([part.points for part in chosen]),
                torch.stack([part.weight for part in chosen]),
            )
            out.append(sides)
    return out


class _Side(NamedTuple):
    """One side of an edge."""

    edge: int
    row: int  # of its image in the group
    points: Tensor  # [3, N]
    weight: Tensor  # [N]


def _by_group(state: Alignment, predictions: PairPredictions, stride: int) -> list[list[_Side]]:
    """Both sides of all edges, by the group of their image."""
    found: list[list[_Side]] = [[] for _ in state.groups]
    for side, (points, conf) in enumerate(predictions.sides()):
        picked = [c[::stride, ::stride].flatten() for c in conf]
        area = sum(c.numel() for c in picked)
        for number, edge in enumerate(predictions.edges):
            group, row = state.place[edge[side]]
            flat = points[number][::stride, ::stride].reshape(-1, 3).T
            found[group].append(_Side(number, row, flat, picked[number].log() / area))
    return found


class Problem:
    """What an alignment minimises: how far world points are from what the edges say of them."""

    def __init__(self, state: Alignment, predictions: PairPredictions, stride: int = 1) -> None:
        self.state = state
        self.stride = stride
        self.sides = edge_sides(state, predictions, stride)
        self.rays = state.rays(stride)

    def loss(self) -> Tensor:
        """Weighted mean distance [] of world points from what every edge says of them."""
        worlds = self.state.world(self.rays, self.stride)
        return _Disagreement.apply(self.sides, self.state.edge_poses(), *worlds)
