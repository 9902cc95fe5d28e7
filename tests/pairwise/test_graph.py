"""Scene graphs and the parts that they fall into."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.pairwise.alignment import AlignmentOptions, align_two
from bench3r.pairwise.graph import components, scene_graph
from bench3r.pairwise.predictions import PairPredictions, connected_parts
from bench3r.pairwise.predictor import Disconnected
from tests.helpers.pairs import SIZE, World


def test_scene_graphs():
    assert scene_graph(4) == [
        (1, 0),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    ]
    assert len(scene_graph(10, "swin", 3)) == 2 * 30
    assert len(scene_graph(10, "swin", 3, cyclic=False)) == 2 * (9 + 8 + 7)
    assert {abs(i - j) for i, j in scene_graph(20, "logwin", 4, cyclic=False)} == {1, 2, 4, 8}
    assert set(scene_graph(5, "oneref", 2)) == {e for j in (0, 1, 3, 4) for e in ((2, j), (j, 2))}
    for kind in ("complete", "swin", "logwin"):
        edges = scene_graph(6, kind, 2)
        assert len(set(edges)) == len(edges)
        assert {(j, i) for i, j in edges} == set(edges)
        assert len(components(6, edges)) == 1
    assert set(scene_graph(3, "swin", 9)) == set(scene_graph(3))  # a window wider than the sequence
    for wrong in (
        {"images": 1},
        {"images": 4, "kind": "oneref", "size": 4},
        {"images": 4, "kind": "swin", "size": 0},
        {"images": 4, "kind": "star"},
    ):
        with pytest.raises(ValueError, match=r"image|window|graph"):
            scene_graph(**wrong)


@pytest.mark.parametrize("graph", ["swin", "logwin"])
def test_a_window_must_reach_another_image(graph):
    with pytest.raises(ValueError, match="window of at least 1"):
        METHODS.get("dust3r").Options(graph=graph, window=0)


def test_images_without_common_content_are_reported_part_by_part():
    world = World(4)
    edges = scene_graph(4)
    apart = [e for e in edges if (e[0] < 2) != (e[1] < 2)]
    pairs = [world.pair(i, j) for i, j in edges]
    for edge, pair in zip(edges, pairs, strict=True):
        if edge in apart:
            pair.conf1, pair.conf2 = (torch.full(SIZE, 1.0001) for _ in range(2))
    predictions = PairPredictions.of(edges, pairs)
    parts, keep = connected_parts(predictions, 0.005)
    assert parts == [[0, 1], [2, 3]]
    for part in parts:  # each part on its own is a scene
        assert align_two(predictions.part(part, keep), AlignmentOptions()).focals.shape == (2,)
    method = METHODS.get("dust3r")()
    with pytest.raises(
        Disconnected,
        match=r"2 parts, aligned apart \(\[0, 1\]: closed form; \[2, 3\]: closed form\)",
    ) as found:
        method.build(BuildContext("dust3r", "tiny")).align(edges, pairs)
    for images, aligned in found.value.parts:
        moved = torch.linalg.inv(world.c2w[images[0]]) @ world.c2w[images[1]]
        torch.testing.assert_close(aligned.poses[1, :3, :3], moved[:3, :3], atol=0.01, rtol=0)


def test_a_part_of_three_and_a_lone_image():
    world, edges = World(4), scene_graph(4)
    pairs = [world.pair(i, j) for i, j in edges]
    for edge, pair in zip(edges, pairs, strict=True):
        if 1 in edge:
            pair.conf1, pair.conf2 = (torch.full(SIZE, 1.0001) for _ in range(2))
    options = METHODS.get("dust3r").Options(iterations=30)
    predictor = METHODS.get("dust3r")(options).build(BuildContext("dust3r", "tiny"))
    with pytest.raises(
        Disconnected, match=r"\[0, 2, 3\]: loss .* after 30 iterations; \[1\]: a single image"
    ):
        predictor.align(edges, pairs)
