"""What a pair network says about the pairs of a scene graph, and which images it ties together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench3r.api.errors import InvalidPrediction
from bench3r.models.pair.network import Edge, PairOutput
from bench3r.pairwise.graph import components


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
        """Predictions of a network for ``edges``.

        Raises InvalidPrediction when one holds NaN or infinity.
        """
        sizes: dict[int, tuple[int, int]] = {}
        for (i, j), p in zip(edges, pairs, strict=True):
            for name, tensor in p.tensors().items():
                if not torch.isfinite(tensor).all():
                    raise InvalidPrediction(
                        f"the prediction for images ({i}, {j}) holds NaN or infinity in {name}"
                    )
            sizes[i] = (p.conf1.shape[0], p.conf1.shape[1])
            sizes[j] = (p.conf2.shape[0], p.conf2.shape[1])
        found = cls.empty([sizes[i] for i in sorted(sizes)])
        for edge, p in zip(edges, pairs, strict=True):
            found.add(edge, p.points1, p.points2, p.conf1, p.conf2)
        return found

    @classmethod
    def empty(cls, sizes: list[tuple[int, int]]) -> PairPredictions:
        """No predictions yet for images of these ``sizes`` (H, W)."""
        return cls([], [], [], [], [], sizes)

    def add(
        self, edge: Edge, points1: Tensor, points2: Tensor, conf1: Tensor, conf2: Tensor
    ) -> None:
        """Take in the points [H, W, 3] and confidences [H, W] of one more edge."""
        self.edges.append(edge)
        self.points1.append(points1)
        self.points2.append(points2)
        self.conf1.append(conf1)
        self.conf2.append(conf2)

    def edge_scores(self) -> list[float]:
        """Product of the mean confidences of every edge."""
        return [float(a.mean() * b.mean()) for a, b in zip(self.conf1, self.conf2, strict=True)]

    def image_confidence(self) -> list[Tensor]:
        """The highest confidence that any edge gives a pixel, [H, W] per image."""
        out = [torch.zeros(s, device=self.conf1[0].device) for s in self.sizes]
        for (i, j), a, b in zip(self.edges, self.conf1, self.conf2, strict=True):
            out[i] = torch.maximum(out[i], a)
            out[j] = torch.maximum(out[j], b)
        return out

    def sides(self) -> tuple[tuple[list[Tensor], list[Tensor]], ...]:
        """Points [H, W, 3] and confidence [H, W] of the edges' first and of their second images."""
        return (self.points1, self.conf1), (self.points2, self.conf2)

    def plain(self) -> PairPredictions:
        """The same as ordinary float32 tensors: inference tensors cannot take part in autograd."""
        return replace(
            self,
            points1=_plain(self.points1),
            points2=_plain(self.points2),
            conf1=_plain(self.conf1),
            conf2=_plain(self.conf2),
        )

    def part(self, images: list[int], keep: Sequence[bool]) -> PairPredictions:
        """The kept edges among ``images``, which are numbered anew."""
        number = {image: n for n, image in enumerate(images)}
        part = PairPredictions.empty([self.sizes[i] for i in images])
        for n, (i, j) in enumerate(self.edges):
            if keep[n] and i in number and j in number:
                edge = (number[i], number[j])
                values = (self.points1[n], self.points2[n], self.conf1[n], self.conf2[n])
                part.add(edge, *values)
        return part


def _plain(tensors: list[Tensor]) -> list[Tensor]:
    return [t.detach().float().clone() for t in tensors]


def connected_parts(
    predictions: PairPredictions, least_weight: float
) -> tuple[list[list[int]], list[bool]]:
    """The images of every part of the graph, and which edges are kept.

    Those with a mean log confidence of ``least_weight`` on both sides, in this order of the images
    or the other. Two images that see nothing in common are predicted with a confidence near 1,
    whose logarithm is the edge's weight.
    """
    sure = set()
    for edge, a, b in zip(predictions.edges, predictions.conf1, predictions.conf2, strict=True):
        if min(float(a.log().mean()), float(b.log().mean())) >= least_weight:
            sure.add(edge)
    keep = []
    useful = []
    for i, j in predictions.edges:
        keep.append((i, j) in sure or (j, i) in sure)
        if keep[-1]:
            useful.append((i, j))
    return components(len(predictions.sizes), useful), keep
