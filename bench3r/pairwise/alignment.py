"""Global alignment of DUSt3R (Wang et al. 2024, §3.4): one world from point maps of pairs.

Every image gets a pose, a focal length and a depth map, every edge a similarity; their disagreement is minimised from a
start along the maximum spanning tree. The gradient of the disagreement is written out edge by edge, so that memory
grows with the predictions and not with an autograd graph over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor, nn

from bench3r.errors import InvalidPrediction
from bench3r.models.geometry import quaternion_to_rotation, rigid_inverse, rotation_to_quaternion
from bench3r.models.pair_network import PairOutput
from bench3r.pairwise.graph import Edge, components
from bench3r.pairwise.registration import focal_by_weiszfeld, pixel_grid, pose_by_pnp, procrustes

FOCAL_STEP = 20.0  # a focal length is exp(parameter / 20), so that it moves with the others' step size
BASE_SCALE = 0.5  # geometric mean of the edges' scales: keeps the world from shrinking to a point
SIDE_POINTS = 60_000  # points compared at a time
SETTLED = 1e-3  # relative change of the loss over the last tenth of the iterations, below which it has converged


@dataclass(frozen=True)
class AlignmentOptions:
    """How the disagreement is minimised; the defaults are the official ones."""

    iterations: int = 300
    lr: float = 0.01
    final_lr: float = 1e-6
    min_confidence: float = 3.0  # of the points from which a missing pose is found
    stride: int = 1  # every stride-th pixel of rows and columns takes part


@dataclass
class PairPredictions:
    """Point maps and confidences of ordered pairs, as lists because images may differ in size."""

    edges: list[Edge]
    points1: list[Tensor]  # each [H, W, 3], in the frame of the first image
    points2: list[Tensor]
    conf1: list[Tensor]  # each [H, W], above 1
    conf2: list[Tensor]
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (H, W) of every image

    @classmethod
    def of(cls, edges: Sequence[Edge], pairs: Sequence[PairOutput]) -> PairPredictions:
        """Predictions of a network for ``edges``. Raises InvalidPrediction when one holds NaN or infinity."""
        sizes: dict[int, tuple[int, int]] = {}
        for (i, j), p in zip(edges, pairs, strict=True):
            for name, tensor in p.tensors().items():
                if not torch.isfinite(tensor).all():
                    raise InvalidPrediction(f"the prediction for images ({i}, {j}) holds NaN or infinity in {name}")
            sizes[i], sizes[j] = (tuple(p.conf1.shape), tuple(p.conf2.shape))  # type: ignore[assignment]
        return cls(
            list(edges), [p.points1 for p in pairs], [p.points2 for p in pairs], [p.conf1 for p in pairs],
            [p.conf2 for p in pairs], [sizes[i] for i in sorted(sizes)],
        )  # fmt: skip

    def edge_scores(self) -> list[float]:
        """Product of the mean confidences of every edge."""
        return [float(a.mean() * b.mean()) for a, b in zip(self.conf1, self.conf2, strict=True)]

    def image_confidence(self) -> list[Tensor]:
        """The highest confidence that any edge gives a pixel, per image."""
        out = [torch.zeros(s, device=self.conf1[0].device) for s in self.sizes]
        for (i, j), a, b in zip(self.edges, self.conf1, self.conf2, strict=True):
            out[i], out[j] = torch.maximum(out[i], a), torch.maximum(out[j], b)
        return out

    def plain(self) -> PairPredictions:
        """The same as ordinary float32 tensors: inference tensors cannot take part in autograd."""
        names = ("points1", "points2", "conf1", "conf2")
        return replace(self, **{n: [t.detach().float().clone() for t in getattr(self, n)] for n in names})

    def part(self, images: list[int], keep: Sequence[bool]) -> PairPredictions:
        """The kept edges among ``images``, which are numbered anew."""
        number = {image: n for n, image in enumerate(images)}
        chosen = [n for n, (i, j) in enumerate(self.edges) if keep[n] and i in number and j in number]
        pick = lambda values: [values[n] for n in chosen]  # noqa: E731
        return PairPredictions(
            [(number[i], number[j]) for i, j in pick(self.edges)], pick(self.points1), pick(self.points2),
            pick(self.conf1), pick(self.conf2), [self.sizes[i] for i in images],
        )  # fmt: skip


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
        self.groups = [[i for i, s in enumerate(sizes) if s == size] for size in dict.fromkeys(sizes)]
        self.place = {i: (g, row) for g, members in enumerate(self.groups) for row, i in enumerate(members)}
        identity = torch.tensor([0.0, 0, 0, 1, 0, 0, 0], device=device)
        self.log_depth = nn.ParameterList(torch.zeros(len(g), *sizes[g[0]], device=device) for g in self.groups)
        self.image_pose = nn.Parameter(identity.repeat(len(sizes), 1))
        self.focal = nn.Parameter(torch.zeros(len(sizes), device=device))
        self.edge_pose = nn.Parameter(torch.cat([identity, identity.new_zeros(1)]).repeat(edges, 1))

    def focals(self) -> Tensor:
        """Focal lengths [S] in pixels."""
        return (self.focal / FOCAL_STEP).exp()

    def depths(self) -> list[Tensor]:
        """Depth maps [H, W], one per image."""
        return [self.log_depth[g][row].exp() for g, row in (self.place[i] for i in range(len(self.sizes)))]

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
            grid = pixel_grid(height, width, device) - torch.tensor([width / 2, height / 2], device=device)
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
    top = torch.cat([quaternion_to_rotation(parameters[:, :4]), signed_expm1(parameters[:, 4:7])[..., None]], -1)
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
            difference = torch.baddbmm(worlds[side.group][side.rows] - shift, matrix, side.points, alpha=-1)
            distance = (difference * difference).sum(1).sqrt_()
            total += (distance * side.weight).sum()
            difference *= (side.weight / distance.clamp_(min=1e-20))[:, None]  # unit vector times weight; 0 stays 0
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
    found: dict[int, list[tuple[int, int, Tensor, Tensor]]] = {g: [] for g in range(len(state.groups))}
    for side, points, conf in ((0, predictions.points1, predictions.conf1), (1, predictions.points2, predictions.conf2)):
        picked = [c[::stride, ::stride].flatten() for c in conf]
        area = sum(c.numel() for c in picked)
        for number, edge in enumerate(predictions.edges):
            group, row = state.place[edge[side]]
            found[group].append(
                (number, row, points[number][::stride, ::stride].reshape(-1, 3).T, picked[number].log() / area)
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
        return _Disagreement.apply(self.sides, self.state.edge_poses(), *self.state.world(self.rays, self.stride))


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
    tree = _Tree({i: points1[last], j: points2[last]}, {i: torch.eye(4, device=points1[last].device)}, {})
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


def initialise(predictions: PairPredictions, options: AlignmentOptions) -> Alignment:
    """The unknowns before optimisation. ``predictions`` must be connected.

    Raises InvalidPrediction when the points of an image fit no camera.
    """
    tree = grow_tree(predictions)
    scores = predictions.edge_scores()
    for n in sorted(range(len(scores)), key=lambda n: -scores[n]):
        tree.focals.setdefault(predictions.edges[n][0], focal_by_weiszfeld(predictions.points1[n]))
    confidence = predictions.image_confidence()
    for i in range(len(predictions.sizes)):
        if i not in tree.focals:  # an image that is the first of no edge: its points do not show its own rays
            tree.focals[i] = torch.tensor(float(max(predictions.sizes[i])), device=confidence[i].device)
        if i not in tree.poses:
            found = pose_by_pnp(tree.points[i], float(tree.focals[i]), trusted(confidence[i], options.min_confidence))
            tree.poses[i] = torch.eye(4, device=confidence[i].device) if found is None else found
    check_focals(torch.stack([tree.focals[i] for i in range(len(predictions.sizes))]), predictions.sizes)
    state = Alignment(predictions.sizes, len(predictions.edges), confidence[0].device)
    for n, (i, _) in enumerate(predictions.edges):
        flat = predictions.points1[n].reshape(-1, 3), tree.points[i].reshape(-1, 3), predictions.conf1[n].flatten()
        state.set_edge(n, *procrustes(*flat))
    factor = state.edge_scale_factor().detach()
    for i, pose in sorted(tree.poses.items()):
        pose = torch.cat([pose[:, :3], pose[:, 3:] * pose.new_tensor([factor, factor, factor, 1.0])[:, None]], 1)
        camera = rigid_inverse(pose)
        depth = (factor * tree.points[i]) @ camera[2, :3] + camera[2, 3]
        state.set_pose(i, pose)
        with torch.no_grad():
            group, row = state.place[i]
            state.log_depth[group][row] = depth.log().nan_to_num(neginf=0.0)
            state.focal[i] = FOCAL_STEP * tree.focals[i].log()
    return state


@dataclass
class Aligned:
    """Cameras and depth of all images in one world."""

    poses: Tensor  # [S, 4, 4] camera to world
    focals: Tensor  # [S] pixels
    depths: list[Tensor]  # [H, W] each
    confidence: list[Tensor]  # [H, W] each
    loss: float  # after optimisation; of a closed form NaN
    start_loss: float
    converged: bool
    iterations: int
    principal: Tensor | None = None  # [S, 2] (x, y) pixels; None: the middle of each image

    def intrinsics(self) -> Tensor:
        """Pinhole matrices [S, 3, 3] in pixels."""
        k = torch.eye(3, device=self.focals.device).repeat(len(self.focals), 1, 1)
        k[:, 0, 0] = k[:, 1, 1] = self.focals
        middle = [[d.shape[1] / 2, d.shape[0] / 2] for d in self.depths]
        k[:, :2, 2] = self.principal if self.principal is not None else torch.tensor(middle, device=k.device)
        return k


def align(predictions: PairPredictions, options: AlignmentOptions) -> Aligned:
    """Optimise from :func:`initialise` (Adam, cosine schedule). ``predictions`` must be connected.

    With ``options.stride`` above 1 only those pixels take part; the depth between them is corrected by the
    interpolated correction of its neighbours.

    Raises InvalidPrediction when the loss or a focal length leaves all bounds.
    """
    with torch.inference_mode(False), torch.enable_grad():
        predictions = predictions.plain()
        state = initialise(predictions, options)
        before = [d.detach().log() for d in state.depths()]
        problem = Problem(state, predictions, options.stride)
        optimiser = torch.optim.Adam(state.parameters(), lr=options.lr, betas=(0.9, 0.9), fused=True)
        losses: list[float] = []
        for step in range(options.iterations):
            progress = step / options.iterations
            for group in optimiser.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * progress))
                group["lr"] = options.final_lr + (options.lr - options.final_lr) * cosine
            optimiser.zero_grad()
            loss = problem.loss()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise InvalidPrediction(f"global alignment diverged: the loss is {losses[-1]} at iteration {step}")
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            losses.append(float(problem.loss()))
            check_focals(state.focals(), predictions.sizes)
            depths = [_fill_in(a, b.log(), options.stride).exp() for a, b in zip(before, state.depths(), strict=True)]
            recent = losses[-max(2, len(losses) // 10) :]
            settled = abs(recent[0] - recent[-1]) <= SETTLED * max(abs(recent[-1]), 1e-12)
            return Aligned(state.poses().detach(), state.focals().detach(), depths, predictions.image_confidence(),
                           losses[-1], losses[0], settled, options.iterations)  # fmt: skip


def check_focals(focals: Tensor, sizes: list[tuple[int, int]]) -> None:
    """Raise InvalidPrediction for focal lengths outside 0.1 to 20 times the longer side of the image."""
    for i, (focal, size) in enumerate(zip(focals.tolist(), sizes, strict=True)):
        if not 0.1 <= focal / max(size) <= 20:
            raise InvalidPrediction(
                f"the points of image {i} fit no camera: focal length {focal:.4g} pixels for {size[1]} x {size[0]}"
            )


def _fill_in(before: Tensor, after: Tensor, stride: int) -> Tensor:
    """Log depth [H, W] everywhere, from its change at every ``stride``-th pixel."""
    if stride == 1:
        return after
    change = (after - before)[None, None, ::stride, ::stride]
    height, width = before.shape
    reach = (1 + (change.shape[2] - 1) * stride, 1 + (change.shape[3] - 1) * stride)
    dense = nn.functional.interpolate(change, reach, mode="bilinear", align_corners=True)
    return before + nn.functional.pad(dense, (0, width - reach[1], 0, height - reach[0]), mode="replicate")[0, 0]


def align_two(predictions: PairPredictions, options: AlignmentOptions) -> Aligned:
    """Two images in closed form: the more confident of the two passes gives points, focal lengths and relative pose.

    Raises InvalidPrediction when no pose explains the points of the second view.
    """
    scores = predictions.edge_scores()
    n = max(range(len(scores)), key=lambda n: scores[n])
    first, second = predictions.edges[n]
    focals = predictions.points1[n].new_zeros(2)
    for edge, points in zip(predictions.edges, predictions.points1, strict=True):
        focals[edge[0]] = focal_by_weiszfeld(points)
    if len({e[0] for e in predictions.edges}) == 1:
        focals[second] = focals[first]
    check_focals(focals, predictions.sizes)
    points2 = predictions.points2[n]
    pose = pose_by_pnp(points2, float(focals[second]), trusted(predictions.conf2[n], options.min_confidence))
    if pose is None:
        raise InvalidPrediction(f"no pose of image {second} explains its points in the frame of image {first}")
    poses = torch.eye(4).repeat(2, 1, 1).to(points2)
    poses[second] = pose
    camera = rigid_inverse(pose)
    depths: dict[int, Tensor] = {first: predictions.points1[n][..., 2], second: points2 @ camera[2, :3] + camera[2, 3]}
    return Aligned(poses, focals, [depths[0], depths[1]], predictions.image_confidence(), math.nan, math.nan, True, 0)


def connected_parts(predictions: PairPredictions, least_weight: float) -> tuple[list[list[int]], list[bool]]:
    """The images of every part of the graph, and which edges are kept: those with a mean log confidence of
    ``least_weight`` on both sides, in this order of the images or the other.

    Two images that see nothing in common are predicted with a confidence near 1, whose logarithm is the edge's weight.
    """
    sure = {e for e, a, b in zip(predictions.edges, predictions.conf1, predictions.conf2, strict=True)
            if min(float(a.log().mean()), float(b.log().mean())) >= least_weight}  # fmt: skip
    keep = [(i, j) in sure or (j, i) in sure for i, j in predictions.edges]
    useful = [e for e, good in zip(predictions.edges, keep, strict=True) if good]
    return components(len(predictions.sizes), useful), keep


def clean(aligned: Aligned, tolerance: float = 1e-3) -> list[Tensor]:
    """Confidence maps without points that stand in front of what another view sees with more confidence.

    Such points would hide what that view saw; their confidence becomes 0. ``tolerance``: relative depth.
    """
    out = [c.clone() for c in aligned.confidence]
    k = aligned.intrinsics()
    for i, depth in enumerate(aligned.depths):
        height, width = depth.shape
        ray = (pixel_grid(height, width, depth.device) - k[i, :2, 2]) / aligned.focals[i]
        camera = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * depth[..., None]
        world = camera.flatten(0, 1) @ aligned.poses[i, :3, :3].T + aligned.poses[i, :3, 3]
        for j, other in enumerate(aligned.depths):
            if i == j:
                continue
            view = rigid_inverse(aligned.poses[j])
            seen = world @ view[:3, :3].T + view[:3, 3]
            z = seen[:, 2]
            h, w = other.shape
            u, v = (seen[:, :2] / z.clamp(min=1e-6)[:, None] * aligned.focals[j] + k[j, :2, 2]).round().T
            inside = (z > 0) & (u >= 0) & (u < w) & (v >= 0) & (v < h)
            where = v.clamp(0, h - 1).long() * w + u.clamp(0, w - 1).long()
            hides = inside & (z < (1 - tolerance) * other.flatten()[where])
            weaker = out[i].flatten() < aligned.confidence[j].flatten()[where]
            out[i] = torch.where((hides & weaker).view(height, width), 0.0, out[i])
    return out
