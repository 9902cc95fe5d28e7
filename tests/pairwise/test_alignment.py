"""Global alignment: its gradient, scenes that it recovers, what it refuses."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.errors import InvalidPrediction
from bench3r.pairwise import spanning
from bench3r.pairwise.aligned import Aligned, clean
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.graph import scene_graph
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.predictor import to_reconstruction
from tests.helpers.pairs import SIZE, World


def test_gradient_of_the_disagreement():
    world = World(3, 0.05, (8, 8))
    predictions = world.predictions()
    state = spanning.initialise(predictions, AlignmentOptions().min_confidence).double()
    problem = Problem(state, predictions)
    for side in problem.sides:
        side.points, side.weight = side.points.double(), side.weight.double()
    problem.rays = [r.double() for r in problem.rays]
    with torch.no_grad():  # away from the start, where some distances are 0 and the loss has a kink
        for parameter in state.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    for parameter in state.parameters():
        (gradient,) = torch.autograd.grad(problem.loss(), parameter, retain_graph=True)
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            values = []
            for step in (1e-5, -1e-5):
                parameter += step * direction
                values.append(float(problem.loss()))
                parameter -= step * direction
        assert float((gradient * direction).sum()) == pytest.approx(
            (values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-7
        )


@pytest.mark.parametrize(
    ("graph", "stride"), [("complete", 1), ("swin", 1), ("complete", 3), ("oneref", 1)]
)
def test_global_alignment_recovers_a_scene(graph, stride):
    world = World(4, 0.01)
    found = align(
        world.predictions(scene_graph(4, graph, 1)), AlignmentOptions(iterations=150, stride=stride)
    )
    rotation, focal, depth = world.errors(found)
    assert rotation < 0.5
    assert focal < 0.02
    assert depth < 0.01
    assert found.loss < found.start_loss
    assert found.converged
    assert to_reconstruction(found, clean(found)).problems(torch.rand(1, 4, 3, *SIZE)) == []


def test_alignment_of_images_of_mixed_sizes():
    world = World(3, 0.005)
    pairs = []
    for i, j in (edges := scene_graph(3)):
        pair, crop = world.pair(i, j), slice(8, 40)  # image 2 lacks rows above and below
        if i == 2:
            pair.points1, pair.conf1 = pair.points1[crop], pair.conf1[crop]
        if j == 2:
            pair.points2, pair.conf2 = pair.points2[crop], pair.conf2[crop]
        pairs.append(pair)
    found = align(PairPredictions.of(edges, pairs), AlignmentOptions(iterations=100))
    assert [tuple(d.shape) for d in found.depths] == [SIZE, SIZE, (32, 64)]
    ratio = found.depths[2] / world.depth[2, 8:40]
    assert float((ratio / ratio.median() - 1).abs().mean()) < 0.01
    with pytest.raises(InvalidPrediction, match="one size"):
        to_reconstruction(found, found.confidence)


def test_a_focal_length_that_diverges_is_invalid():
    world = World(3)
    predictions = world.predictions()
    predictions.points1 = [
        torch.cat([p[..., :2] / 500, p[..., 2:]], -1) for p in predictions.points1
    ]  # needle-thin views
    with pytest.raises(InvalidPrediction, match=r"points of image \d fit no camera"):
        align(predictions, AlignmentOptions(iterations=3))


def test_points_that_hide_a_surer_view_lose_their_confidence():
    world = World(2)
    aligned = Aligned(
        poses=world.c2w,
        focals=world.k[:, 0, 0],
        depths=list(world.depth),
        confidence=[torch.full(SIZE, 5.0) for _ in range(2)],
        loss=0.0,
        start_loss=0.0,
        converged=True,
        iterations=1,
        principal=world.k[:, :2, 2],
    )
    lost = [float((c == 0).float().mean()) for c in clean(aligned, 0.05)]
    aligned.depths[0], aligned.confidence[0] = aligned.depths[0].clone(), torch.full(SIZE, 2.0)
    aligned.depths[0][20:28, 20:28] *= 0.5  # floats before the wall
    after = clean(aligned, 0.05)
    assert max(lost) < 0.05
    assert float((after[0][20:28, 20:28] == 0).float().mean()) > 0.5
    assert float((after[1] == 0).float().mean()) < 0.05
