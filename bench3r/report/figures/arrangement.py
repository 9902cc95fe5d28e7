"""Where labels go: near their points, on no other label, and on few points and lines.

All lengths are in points of the figure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DIRECTIONS = 24
REACHES = (4.0, 8.0, 13.0, 19.0, 26.0, 34.0, 43.0, 53.0, 64.0, 78.0, 95.0, 115.0)  # points
PASSES = 4  # in which every label may move once more
DOT = 2.2  # points, half a marker
OVER_LABEL = 40.0  # what covering costs, per covered square point
OVER_DOT = 12.0
OVER_LINE = 2.5  # per covered square point around a place on a line
OVER_EDGE = 4000.0
CROSSED = 40.0  # what a leading line through a label or another line costs
PASSED = 15.0  # the same through a dot
ALONG = 40  # places on a leading line that are looked at
STEP = 4.0  # points between the places on a line that labels should leave free


class Boxes(NamedTuple):
    """Rectangles in points, all [N]."""

    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    top: np.ndarray

    def covered(self, other: Boxes) -> np.ndarray:
        """Common area of each of these [N] with each of ``other`` [M]: [N, M]."""
        left = np.maximum(self.left[:, None], other.left)
        width = np.minimum(self.right[:, None], other.right) - left
        bottom = np.maximum(self.bottom[:, None], other.bottom)
        height = np.minimum(self.top[:, None], other.top) - bottom
        return np.clip(width, 0, None) * np.clip(height, 0, None)

    def outside(self, other: Boxes) -> np.ndarray:
        """How far each of these [N] reaches out of the one box ``other``: [N]."""
        beyond = np.stack(
            [
                other.left - self.left,
                other.bottom - self.bottom,
                self.right - other.right,
                self.top - other.top,
            ]
        )
        return np.clip(beyond, 0, None).sum(0)


class Around(NamedTuple):
    """Where labels may be, and what they should not cover."""

    frame: Boxes
    lines: np.ndarray  # [M, 2]


def arrange(points: np.ndarray, sizes: np.ndarray, around: Around) -> np.ndarray:
    """Centres [N, 2] of labels of ``sizes`` [N, 2] for ``points`` [N, 2]."""
    count = len(sizes)
    candidates = [_candidates(point, size) for point, size in zip(points, sizes, strict=True)]
    alone = [_alone(i, own, points, sizes, around) for i, own in enumerate(candidates)]
    chosen = np.full(count, -1)
    crowd = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    order = np.argsort(np.sort(crowd, 1)[:, :4].sum(1), kind="stable")
    for _ in range(PASSES):
        before = chosen.copy()
        for i in order:
            costs = alone[i] + _together(i, candidates, chosen, points, sizes)
            chosen[i] = int(np.argmin(costs))
        if (chosen == before).all():
            break
    return np.array([candidates[i][chosen[i]] for i in range(count)])


def _candidates(point: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Centres [K, 2] around ``point`` [2] at which a label of ``size`` [2] touches a ring."""
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)], -1)  # [D, 2]
    half = size / 2
    with np.errstate(divide="ignore"):
        edge = np.min(np.abs(half / np.where(ways == 0, 1e-9, ways)), -1)  # from centre to edge
    reaches = np.add.outer(np.array(REACHES), np.minimum(edge, np.hypot(*half)))  # [R, D]
    return (point + reaches[..., None] * ways).reshape(-1, 2)


def _boxes(centres: np.ndarray, sizes: np.ndarray) -> Boxes:
    half = sizes / 2
    low = centres - half
    high = centres + half
    return Boxes(low[:, 0], low[:, 1], high[:, 0], high[:, 1])


def _alone(
    i: int, own: np.ndarray, points: np.ndarray, sizes: np.ndarray, around: Around
) -> np.ndarray:
    """What each of the candidates ``own`` [K, 2] of label ``i`` costs without other labels: [K]."""
    boxes = _boxes(own, np.broadcast_to(sizes[i], own.shape))
    dots = _boxes(points, np.full(points.shape, 2 * DOT))
    lines = _boxes(around.lines, np.full(around.lines.shape, STEP))
    costs = np.repeat(REACHES, DIRECTIONS)
    costs += OVER_DOT * boxes.covered(dots).sum(1)
    costs += OVER_LINE * boxes.covered(lines).sum(1)
    costs += OVER_EDGE * boxes.outside(around.frame)
    others = np.delete(np.arange(len(points)), i)
    return costs + PASSED * _passes(points[i], own, points[others], DOT)


def _together(
    i: int,
    candidates: list[np.ndarray],
    chosen: np.ndarray,
    points: np.ndarray,
    sizes: np.ndarray,
) -> np.ndarray:
    """What every candidate [K] of label ``i`` costs because of where the others are."""
    own = candidates[i]
    boxes = _boxes(own, np.broadcast_to(sizes[i], own.shape))
    costs = np.zeros(len(own))
    placed = np.flatnonzero((chosen >= 0) & (np.arange(len(chosen)) != i))
    if not len(placed):
        return costs
    centres = np.array([candidates[j][chosen[j]] for j in placed])
    there = _boxes(centres, sizes[placed])
    costs += OVER_LABEL * boxes.covered(there).sum(1)
    costs += CROSSED * _enters(points[i], own, there)
    for j, centre in zip(placed, centres, strict=True):
        costs += CROSSED * _hit(points[j], centre, boxes)
        costs += CROSSED * _cross(points[i], own, points[j], centre)
    return costs


def _passes(start: np.ndarray, ends: np.ndarray, dots: np.ndarray, near: float) -> np.ndarray:
    """How many of ``dots`` [M, 2] the segments from ``start`` [2] to ``ends`` [K, 2] pass: [K]."""
    ways = ends - start
    length = np.maximum((ways**2).sum(-1), 1e-9)
    along = np.clip(((dots[None] - start) * ways[:, None]).sum(-1) / length[:, None], 0, 1)
    foot = start + along[..., None] * ways[:, None]
    return (np.hypot(*(foot - dots[None]).transpose(2, 0, 1)) < near).sum(1)


def _enters(start: np.ndarray, ends: np.ndarray, boxes: Boxes) -> np.ndarray:
    """How many of ``boxes`` [M] the segments from ``start`` [2] to ``ends`` [K, 2] enter: [K]."""
    steps = np.linspace(0, 1, ALONG)[:, None, None]
    along = start + steps * (ends - start)[None]  # [T, K, 2]
    x = along[..., 0, None]
    y = along[..., 1, None]
    inside = (x > boxes.left) & (x < boxes.right) & (y > boxes.bottom) & (y < boxes.top)
    return inside.any(0).sum(-1)


def _hit(start: np.ndarray, end: np.ndarray, boxes: Boxes) -> np.ndarray:
    """Whether the segment from ``start`` [2] to ``end`` [2] enters each of ``boxes`` [K]."""
    steps = np.linspace(0, 1, ALONG)[:, None]
    x, y = (start + steps * (end - start)).T[..., None]
    inside = (x > boxes.left) & (x < boxes.right) & (y > boxes.bottom) & (y < boxes.top)
    return inside.any(0)


def _cross(start: np.ndarray, ends: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether segments from ``start`` [2] to ``ends`` [K, 2] cross that from ``a`` to ``b``."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        first = q - p
        second = r - p
        return np.sign(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])

    apart = side(start, ends, a) * side(start, ends, b) < 0
    return apart & (side(a, b, start) * side(a, b, ends) < 0)


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Positions [N] at least ``gap`` apart and close to ``wanted`` [N], both ascending.

    Groups that would cover each other share their mean, as in isotonic regression.
    """
    groups: list[tuple[float, int]] = []  # centre, members
    for value in wanted:
        groups.append((float(value), 1))
        while len(groups) > 1:
            (low, few), (high, many) = groups[-2:]
            if high - low >= gap * (few + many) / 2:
                break
            groups[-2:] = [((low * few + high * many) / (few + many), few + many)]
    offsets = [centre + gap * (np.arange(n) - (n - 1) / 2) for centre, n in groups]
    return np.concatenate(offsets)
