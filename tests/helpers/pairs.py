"""What tests of pairwise models share: a scene with perfect predictions, random features."""

from __future__ import annotations

import math

import torch

from bench3r.data.procedural.render import make_scene
from bench3r.models.geometry import unproject
from bench3r.models.pair.network import PairOutput
from bench3r.pairwise.aligned import Aligned
from bench3r.pairwise.graph import scene_graph
from bench3r.pairwise.matching import Matches
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.registration import pixel_grid

SIZE = (48, 64)


class World:
    """A rendered scene and perfect predictions for pairs of views, each in a scale of its own."""

    def __init__(self, images=4, noise=0.0, size=SIZE, seed=100_000_123):
        views = make_scene("room", seed, images, size, 1)[1]
        depth = torch.from_numpy(views.depth).float()
        self.depth = torch.where(depth > 0, depth, depth.median())
        self.c2w = torch.from_numpy(views.c2w).float()
        self.w2c = torch.linalg.inv(self.c2w)
        self.k = torch.from_numpy(views.intrinsics).float()
        self.points = unproject(self.depth, self.w2c[:, :3], self.k)
        self.images = images
        self.noise = noise

    def seen(self, i, points):
        return points @ self.w2c[i, :3, :3].T + self.w2c[i, :3, 3]

    def pair(self, i, j, conf=6.0):
        generator = torch.Generator().manual_seed(100 * i + j)
        scale = math.exp(0.3 * torch.randn(1, generator=generator).item())
        shape = self.points[i].shape
        noise = [self.noise * torch.randn(shape, generator=generator) for _ in range(2)]
        sure = torch.full(shape[:2], conf)
        return PairOutput(
            scale * self.seen(i, self.points[i]) + noise[0],
            sure + torch.rand(shape[:2], generator=generator),
            scale * self.seen(i, self.points[j]) + noise[1],
            sure + torch.rand(shape[:2], generator=generator),
        )

    def predictions(self, edges=None):
        edges = edges or scene_graph(self.images, "complete")
        return PairPredictions.of(edges, [self.pair(i, j) for i, j in edges])

    def matches(self, i, j):
        """True correspondences of visible pixels."""
        height, width = self.depth.shape[1:]
        one = pixel_grid(height, width).reshape(-1, 2)[::13].long()
        there = self.seen(j, self.points[i][one[:, 1], one[:, 0]])
        two = (there @ self.k[j].T)[:, :2] / there[:, 2:]
        two = two.round().long()
        inside = (there[:, 2] > 0) & (two >= 0).all(1) & (two[:, 0] < width) & (two[:, 1] < height)
        one, two, depth = one[inside], two[inside], there[inside, 2]
        visible = (self.depth[j][two[:, 1], two[:, 0]] - depth).abs() < 0.03 * depth
        return Matches(one[visible], two[visible], torch.full((int(visible.sum()),), 10.0))

    def errors(self, found: Aligned):
        """Largest rotation error in degrees, largest relative focal error, mean depth error.

        The depth error is relative, after a median scale.
        """
        relative = torch.linalg.inv(found.poses[:1]) @ found.poses
        true = self.w2c[:1] @ self.c2w
        cosine = (
            (relative[:, :3, :3].mT @ true[:, :3, :3]).diagonal(dim1=1, dim2=2).sum(1) - 1
        ) / 2
        ratio = torch.stack(found.depths) / self.depth
        focal = (found.focals / self.k[:, 0, 0] - 1).abs().max()
        return (
            float(cosine.clamp(-1, 1).acos().max().rad2deg()),
            float(focal),
            float((ratio / ratio.median() - 1).abs().mean()),
        )


def features(height, width, seed=0):
    values = torch.randn(height, width, 24, generator=torch.Generator().manual_seed(seed))
    return values / values.norm(dim=-1, keepdim=True)
