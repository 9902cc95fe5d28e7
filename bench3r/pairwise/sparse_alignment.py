"""Sparse global alignment: cameras from matches, in two stages.

After "MASt3R-SfM" (Duisterhof et al. 2024, §3.3). Every image becomes one canonical point map whose
shape stays: only a depth per 8 x 8 block moves, and the pixels of a block follow it. Cameras hang
on each other along a tree. First the world distance of matches is minimised over poses and sizes,
then their distance in pixels over everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, dijkstra
from scipy.spatial.distance import squareform
from torch import Tensor, nn

from bench3r.models.geometry import quaternion_to_rotation
from bench3r.models.pair.network import Edge
from bench3r.pairwise.aligned import Aligned, check_focals
from bench3r.pairwise.descent import Schedule, converged, minimise
from bench3r.pairwise.matching import Matches
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import focal_by_weiszfeld, pixel_grid

LEAST_CONFIDENCE = 0.999  # taken off confidences before they weigh canonical points
FOCAL_RANGE = (0.5, 3.5)  # of the focal length of a 60 degree lens
NEAREST = 1e-3  # z-depth to which reprojected points are clipped
PIXEL_RANGE = (-1000.0, 2000.0)  # to which reprojections are clipped
# relative change of the loss over the last tenth of the second stage, below which it has converged
CONVERGED = 1e-2
# of pairs without trusted matches
REGRESSION_WEIGHT = 0.01
REGRESSION_POWER = 1.1


@dataclass(frozen=True)
class SparseOptions:
    """The two stages; the defaults are the official ones."""

    block: int = 8  # pixels per side of a block with a depth of its own
    iterations: tuple[int, int] = (300, 300)
    lr: tuple[float, float] = (0.07, 0.01)
    power: tuple[float, float] = (1.5, 0.5)
    trusted: float = 5.0  # confidence of its best match from which a pair counts as matched


def robust(distance: Tensor, power: float) -> Tensor:
    """(d + c)^g - c^g of distances d [...], with slope 1 at 0.

    Nearly linear for small distances, of power g for large ones.
    """
    if power == 1:
        return distance
    offset = (1 / power) ** (1 / (power - 1))
    return (distance + offset) ** power - offset**power


@dataclass
class Canonical:
    """One image's shape: block depths, every pixel's relative to its block's, a focal length."""

    depth: Tensor  # [h, w] at the blocks' anchors, predicted units
    relative: Tensor  # [H, W]
    focal: Tensor  # []
    confidence: Tensor  # [H, W]


def block_of(height: int, width: int, block: int, device: torch.device) -> Tensor:
    """Number [H, W] of the block that each pixel belongs to."""
    rows = (torch.arange(height, device=device) // block).clamp(max=max(1, height // block) - 1)
    columns = (torch.arange(width, device=device) // block).clamp(max=max(1, width // block) - 1)
    return rows[:, None] * max(1, width // block) + columns


def canonical_view(points: Tensor, confidence: Tensor, block: int = 8) -> Canonical:
    """The canonical view of an image from ``points`` [K, H, W, 3] and ``confidence`` [K, H, W].

    Both are of K pairs. A pixel's depth relative to its block's anchor is kept as the angle of the
    line between the two points, averaged over the pairs.
    """
    _, height, width, _ = points.shape
    weight = confidence - LEAST_CONFIDENCE
    mean = (weight[..., None] * points).sum(0) / weight.sum(0)[..., None]
    blocks = block_of(height, width, block, points.device)
    rows = slice(block // 2, height // block * block, block)
    columns = slice(block // 2, width // block * block, block)
    anchors = points[:, rows, columns].flatten(1, 2)[:, blocks.flatten()].view_as(points)
    radius = (points - anchors)[..., :2].norm(dim=-1).clamp(min=1e-8)
    angle = torch.atan((points - anchors)[..., 2] / radius)
    angle = (weight * angle).sum(0) / weight.sum(0)
    depth = mean[rows, columns, 2].clamp(min=1e-6)
    relative = 1 + radius.mean(0) * angle.tan() / depth.flatten()[blocks]
    base = max(height, width) / (2 * math.tan(math.radians(30)))
    focal = focal_by_weiszfeld(mean).clamp(FOCAL_RANGE[0] * base, FOCAL_RANGE[1] * base)
    return Canonical(depth, relative, focal, confidence.mean(0))


def kinematic_tree(
    images: int, scores: dict[Edge, float], patches: int
) -> tuple[list[int], list[int]]:
    """Order of the images from the root outwards, and each image's parent (the root's is -1).

    Images are clustered (Ward) by how much their pairs match; each merge hangs its clusters
    together by their best pair. The root is the tree's centre. ``patches`` sets how many matches
    count as complete.
    """
    likeness = np.zeros((images, images))
    for (i, j), score in scores.items():
        likeness[i, j] = score
        likeness[j, i] = score
    apart = 1 - likeness / max(3 * patches, likeness.max(), 1)
    np.fill_diagonal(apart, 0)
    edges: list[Edge] = []
    clusters = {n: [n] for n in range(images)}
    merges = linkage(squareform(apart, checks=False), "ward") if images > 1 else []
    for step, merge in enumerate(merges):
        first = clusters.pop(int(merge[0]))
        second = clusters.pop(int(merge[1]))
        edges.append(max(product(first, second), key=lambda e: likeness[e]))
        clusters[images + step] = first + second
    rows, columns = np.array(edges, dtype=int).reshape(-1, 2).T
    tree = coo_array((np.ones(len(edges)), (rows, columns)), shape=(images, images)).tocsr()
    root = int(dijkstra(tree, directed=False, unweighted=True).max(1).argmin())
    order, parents = breadth_first_order(tree, root, directed=False)
    return order.tolist(), [int(p) if p >= 0 else -1 for p in parents]


class SparseScene(nn.Module):
    """The unknowns of every image: pose to its parent, size, focal length, centre, block depths."""

    def __init__(
        self,
        views: Sequence[Canonical],
        sizes: list[tuple[int, int]],
        tree: tuple[list[int], list[int]],
    ) -> None:
        super().__init__()
        self.order, self.parents = tree
        device = views[0].depth.device
        self.images = torch.tensor([[w, h] for h, w in sizes], dtype=torch.float32, device=device)
        self.median = torch.stack([v.depth.median() for v in views])
        self.base_focal = torch.stack([v.focal for v in views])
        self.counts = [v.depth.numel() for v in views]
        identity = torch.tensor([0.0, 0, 0, 1], device=device)
        self.quaternion = nn.Parameter(identity.repeat(len(views), 1))
        self.log_size = nn.Parameter(torch.zeros(len(views), device=device))
        self.log_focal = nn.Parameter(self.base_focal.log())
        # in image widths and heights
        self.centre = nn.Parameter(torch.full((len(views), 2), 0.5, device=device))
        relative = [v.depth.flatten() / m for v, m in zip(views, self.median, strict=True)]
        self.depth = nn.Parameter(torch.cat(relative))
        self.shift = nn.Parameter(torch.zeros(len(views), 3, device=device))
        with torch.no_grad():  # all cameras start where their parent is
            self.shift.copy_(self.to_plane())

    def of_stage(self, stage: int) -> list[nn.Parameter]:
        """What a stage moves: poses and sizes, then everything."""
        first = [self.quaternion, self.shift, self.log_size]
        return first if stage == 0 else [*first, self.log_focal, self.centre, self.depth]

    def normalise(self) -> None:
        """Make the quaternions unit ones again."""
        self.quaternion.div_(self.quaternion.norm(dim=1, keepdim=True))

    def unit(self) -> Tensor:
        """What all lengths are multiplied by [], so that the smallest size is 1.

        So the world cannot shrink away.
        """
        return 1 / self.log_size.exp().min()

    def to_plane(self) -> Tensor:
        """From each camera to the middle of what it sees, [S, 3] in its own axes.

        The shift of a camera is stored for that point, so that a changed focal length moves the
        camera and not the scene.
        """
        far = self.log_size.exp() * self.median * self.log_focal.exp() / self.base_focal
        aside = (0.5 - self.centre) * self.images / self.log_focal.exp()[:, None]
        return far[:, None] * torch.cat([aside, torch.ones_like(aside[:, :1])], 1)

    def cameras(self) -> tuple[Tensor, Tensor]:
        """Rotations [S, 3, 3] and positions [S, 3], camera to world."""
        turn = quaternion_to_rotation(self.quaternion)
        move = self.unit() * (self.shift - (turn @ self.to_plane()[..., None])[..., 0])
        rotation: list[Tensor] = [turn[0]] * len(turn)
        position: list[Tensor] = [move[0]] * len(turn)
        for i in self.order:
            parent = self.parents[i]
            rotation[i] = turn[i] if parent < 0 else rotation[parent] @ turn[i]
            position[i] = move[i] if parent < 0 else rotation[parent] @ move[i] + position[parent]
        return torch.stack(rotation), torch.stack(position)

    def block_depths(self) -> Tensor:
        """Depth [N] of all blocks of all images, one after the other, world units."""
        scale = self.unit() * self.log_size.exp() * self.median
        return self.depth * scale.repeat_interleave(torch.tensor(self.counts, device=scale.device))


@dataclass
class _Side:
    """One side of all matches."""

    image: Tensor  # [M]
    pixel: Tensor  # [M, 2]
    block: Tensor  # [M] among those of all images
    relative: Tensor  # [M] depth


class _Regressed(NamedTuple):
    """What a pair without trusted matches says of its second image."""

    image: int  # the first one, in whose frame it speaks
    side: _Side  # the block anchors of the second image
    points: Tensor  # [M, 3]
    weight: Tensor  # [M]


def _world(
    scene: SparseScene, side: _Side, cameras: tuple[Tensor, Tensor], depths: Tensor
) -> Tensor:
    """World points [M, 3] of one side of the matches."""
    centre = (scene.centre * scene.images)[side.image]
    focal = scene.log_focal.exp()[side.image][:, None]
    ray = (side.pixel - centre) / focal
    depth = (depths[side.block] * side.relative)[:, None]
    camera = torch.cat([ray, torch.ones_like(ray[:, :1])], 1) * depth
    return (cameras[0][side.image] @ camera[..., None])[..., 0] + cameras[1][side.image]


def _reprojection(
    scene: SparseScene, world: Tensor, side: _Side, cameras: tuple[Tensor, Tensor]
) -> Tensor:
    """Distance [M] of ``world`` points [M, 3], seen by the images of ``side``, from its pixels."""
    rotation = cameras[0][side.image]
    position = cameras[1][side.image]
    camera = (rotation.mT @ (world - position)[..., None])[..., 0]
    focal = scene.log_focal.exp()[side.image][:, None]
    pixel = camera[:, :2] / camera[:, 2:].clamp(min=NEAREST) * focal
    pixel = (pixel + (scene.centre * scene.images)[side.image]).clamp(*PIXEL_RANGE)
    return (pixel - side.pixel).norm(dim=1)


class SparseAligner:
    """The problem of one scene: canonical views, matches, points of pairs without matches."""

    def __init__(
        self, predictions: PairPredictions, matches: dict[Edge, Matches], options: SparseOptions
    ) -> None:
        self.options = options
        self.predictions = predictions
        sizes = predictions.sizes
        self.views = [self._canonical(i) for i in range(len(sizes))]
        counts = [view.depth.numel() for view in self.views]
        self.starts = np.cumsum([0, *counts]).tolist()
        self.trusted: dict[Edge, Matches] = {}
        for edge, match in matches.items():
            if len(match.confidence) and float(match.confidence.max()) > options.trusted:
                self.trusted[edge] = match
        scores = {e: float(len(m.confidence)) for e, m in matches.items()}
        self.tree = kinematic_tree(len(sizes), scores, max(counts))
        device = self.views[0].depth.device
        self.one = self._side(0)
        self.two = self._side(1)
        trust = [m.confidence for m in self.trusted.values()]
        self.weight = torch.cat(trust) if trust else torch.zeros(0, device=device)

    def _canonical(self, image: int) -> Canonical:
        """The canonical view of an image that is the first of at least one pair."""
        p = self.predictions
        points = []
        confidence = []
        for n, (first, _) in enumerate(p.edges):
            if first == image:
                points.append(p.points1[n])
                confidence.append(p.conf1[n])
        return canonical_view(torch.stack(points), torch.stack(confidence), self.options.block)

    def _side(self, side: int) -> _Side:
        """Side 0 or 1 of all trusted matches."""
        parts: list[_Side] = []
        for edge, match in self.trusted.items():
            parts.append(self._at(edge[side], (match.xy1, match.xy2)[side]))
        if not parts:
            empty = torch.zeros(0, dtype=torch.long)
            return _Side(empty, torch.zeros(0, 2), empty, torch.zeros(0))
        return _Side(
            torch.cat([part.image for part in parts]),
            torch.cat([part.pixel for part in parts]),
            torch.cat([part.block for part in parts]),
            torch.cat([part.relative for part in parts]),
        )

    def _at(self, image: int, xy: Tensor) -> _Side:
        """Pixels ``xy`` [M, 2] of an image."""
        view = self.views[image]
        blocks = block_of(*self.predictions.sizes[image], self.options.block, xy.device)
        where = blocks[xy[:, 1], xy[:, 0]] + self.starts[image]
        relative = view.relative[xy[:, 1], xy[:, 0]]
        return _Side(torch.full_like(where, image), xy.float(), where, relative)

    def _regressed(self) -> list[_Regressed]:
        """What pairs without trusted matches say."""
        p = self.predictions
        step = self.options.block
        out = []
        for n, (i, j) in enumerate(p.edges):
            if (i, j) in self.trusted or (j, i) in self.trusted:
                continue
            height, width = p.sizes[j]
            grid = pixel_grid(height, width, p.conf2[n].device)
            anchors = grid[step // 2 :: step, step // 2 :: step].reshape(-1, 2).long()
            picked = (anchors[:, 1], anchors[:, 0])
            side = self._at(j, anchors)
            out.append(_Regressed(i, side, p.points2[n][picked], p.conf2[n][picked]))
        return out

    def _regression_loss(
        self, scene: SparseScene, cameras: tuple[Tensor, Tensor], depths: Tensor
    ) -> Tensor:
        total = depths.new_zeros(())
        weights = 0.0
        scale = scene.unit() * scene.log_size.exp()
        for part in self.regressed:
            rotation, position = cameras[0][part.image], cameras[1][part.image]
            predicted = scale[part.image] * part.points @ rotation.T + position
            distance = (predicted - _world(scene, part.side, cameras, depths)).norm(dim=1)
            total = total + (part.weight * robust(distance, REGRESSION_POWER)).sum()
            weights += float(part.weight.sum())
        return REGRESSION_WEIGHT * total / max(weights, 1e-12)

    def loss(self, scene: SparseScene, stage: int) -> Tensor:
        """Weighted mean distance [] of matches and the regression term.

        Matches are compared in the world (stage 0) or in pixels (stage 1).
        """
        cameras = scene.cameras()
        depths = scene.block_depths()
        total = depths.new_zeros(())
        if self.regressed:
            total = self._regression_loss(scene, cameras, depths)
        if not len(self.weight):
            return total
        one = _world(scene, self.one, cameras, depths)
        two = _world(scene, self.two, cameras, depths)
        if stage == 0:
            each = robust((one - two).norm(dim=1), self.options.power[0])
        else:
            there = robust(_reprojection(scene, one, self.two, cameras), self.options.power[1])
            back = robust(_reprojection(scene, two, self.one, cameras), self.options.power[1])
            each = (there + back) / 2
        return total + (self.weight * each).sum() / self.weight.sum()

    def run(self) -> Aligned:
        """Both stages.

        Raises InvalidPrediction when the loss or a focal length leaves all bounds.
        """
        self.regressed = self._regressed()
        scene = SparseScene(self.views, self.predictions.sizes, self.tree)
        losses: list[float] = []
        stages = zip(self.options.iterations, self.options.lr, strict=True)
        for stage, (steps, lr) in enumerate(stages):
            loss = partial(self.loss, scene, stage)
            what = f"stage {stage + 1} of sparse alignment"
            moved = scene.of_stage(stage)
            losses += minimise(loss, moved, Schedule(steps, lr), what, scene.normalise)
        with torch.no_grad():
            return self._result(scene, losses)

    def _result(self, scene: SparseScene, losses: list[float]) -> Aligned:
        focals = scene.log_focal.exp()
        check_focals(focals, self.predictions.sizes)
        rotation, position = scene.cameras()
        poses = torch.eye(4, device=focals.device).repeat(len(focals), 1, 1)
        poses[:, :3, :3] = rotation
        poses[:, :3, 3] = position
        every = scene.block_depths()
        depths = []
        for i, (view, size) in enumerate(zip(self.views, self.predictions.sizes, strict=True)):
            blocks = block_of(*size, self.options.block, every.device)
            depths.append(every[self.starts[i] :][blocks] * view.relative)
        last = float(self.loss(scene, 1))
        coarse, fine = self.options.iterations
        return Aligned(
            poses=poses,
            focals=focals,
            depths=depths,
            confidence=[v.confidence for v in self.views],
            loss=last,
            start_loss=losses[coarse] if fine else losses[0],
            converged=converged([*losses[coarse:], last], CONVERGED),
            iterations=coarse + fine,
            principal=scene.centre * scene.images,
        )


def sparse_align(
    predictions: PairPredictions, matches: dict[Edge, Matches], options: SparseOptions
) -> Aligned:
    """Align ``predictions`` by ``matches`` of each unordered pair.

    Their graph is connected and has both orders of every pair. Raises InvalidPrediction when the
    loss or a focal length leaves all bounds.
    """
    with torch.inference_mode(False), torch.enable_grad():
        plain = predictions.plain()
        copied = {}
        for edge, m in matches.items():
            confidence = m.confidence.detach().float().clone()
            copied[edge] = Matches(m.xy1.clone(), m.xy2.clone(), confidence)
        return SparseAligner(plain, copied, options).run()
