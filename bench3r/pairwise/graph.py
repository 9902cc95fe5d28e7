"""Scene graphs: which ordered pairs of images a pairwise model looks at (Wang et al. 2024)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench3r.models.pair.network import Edge

GraphName = Literal["complete", "swin", "logwin", "oneref"]


def scene_graph(
    images: int, kind: GraphName = "complete", size: int = 3, cyclic: bool = True
) -> list[Edge]:
    """Ordered pairs (i, j) over ``images``: those of the graph, then the same ones swapped.

    Args:
        images: number of images, at least 2.
        kind: ``complete`` every pair; ``swin`` each image with the next ``size`` ones; ``logwin``
            with those 1, 2, 4, ... 2^(size - 1) further on; ``oneref`` every image with image
            number ``size``.
        cyclic: whether windows go on from the last image to the first.

    Raises ValueError for fewer than two images, an unknown kind, a window below 1 or a reference
    that does not exist.
    """
    if images < 2:
        raise ValueError(f"a scene graph needs at least 2 images, got {images}")
    if kind == "complete":
        pairs: Iterable[Edge] = ((i, j) for i in range(images) for j in range(i))
    elif kind == "oneref":
        if not 0 <= size < images:
            raise ValueError(f"reference image {size} does not exist among {images}")
        pairs = ((size, j) for j in range(images) if j != size)
    elif kind in ("swin", "logwin"):
        if size < 1:
            raise ValueError(f"a window must reach at least 1 image further, got {size}")
        reach = range(1, size + 1) if kind == "swin" else [2**k for k in range(size)]
        pairs = _windows(images, reach, cyclic)
    else:
        raise ValueError(f"unknown scene graph {kind!r}: expected complete, swin, logwin or oneref")
    forward = list(pairs)
    return forward + [(j, i) for i, j in forward]


def edge_count(
    images: int, kind: GraphName = "complete", size: int = 3, cyclic: bool = True
) -> int:
    """Number of ordered pairs of :func:`scene_graph`, without listing those of a complete graph."""
    if kind == "complete" and images > 1:
        return images * (images - 1)
    return len(scene_graph(images, kind, size, cyclic))


def _windows(images: int, reach: Iterable[int], cyclic: bool) -> list[Edge]:
    """Pairs of every image with those ``reach`` further on, each pair once."""
    found = set()
    for i, step in itertools.product(range(images), list(reach)):
        j = i + step
        if cyclic:
            j %= images
        if j < images and i != j:
            found.add((min(i, j), max(i, j)))
    return sorted(found)


def components(images: int, edges: list[Edge]) -> list[list[int]]:
    """The images of every connected part of the graph, largest part first."""
    rows, columns = np.array(edges, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(images, images))
    count, label = connected_components(graph, directed=False)
    parts = [np.flatnonzero(label == n).tolist() for n in range(count)]
    return sorted(parts, key=lambda p: (-len(p), p))
