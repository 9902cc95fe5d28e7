"""DUSt3R and MASt3R: networks, scene graphs, matching, alignment, bad input, training."""

import json
import math
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench3r.api.errors import Bench3RError, InvalidPrediction, Unsupported
from bench3r.api.method import METHODS, BuildContext
from bench3r.data.procedural.render import make_scene
from bench3r.measure import flops
from bench3r.models.backbones import build_backbone
from bench3r.models.geometry import unproject
from bench3r.models.pair.config import DUST3R_VARIANTS, PairConfig, PairDPTConfig
from bench3r.models.pair.losses import confidence_loss, descriptor_loss, pair_losses
from bench3r.models.pair.macs import pair_macs
from bench3r.models.pair.network import PairNetwork, PairOutput, PairPass
from bench3r.models.weights import load_strict, read_state_dict, resolve_base, save_safetensors
from bench3r.pairwise import spanning
from bench3r.pairwise.aligned import Aligned, clean
from bench3r.pairwise.alignment import AlignmentOptions, align, align_two
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.graph import components, scene_graph
from bench3r.pairwise.matching import Matches, pair_matches, reciprocal_matches
from bench3r.pairwise.predictions import PairPredictions, connected_parts
from bench3r.pairwise.predictor import Disconnected, to_reconstruction
from bench3r.pairwise.registration import focal_by_weiszfeld, pixel_grid, pose_by_pnp, procrustes
from bench3r.pairwise.sparse_alignment import (
    SparseOptions,
    canonical_view,
    kinematic_tree,
    robust,
    sparse_align,
)
from bench3r.parity.check import check_file
from bench3r.run.config import RunConfig
from bench3r.run.planner import make_plan
from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig
from bench3r.training.samples import BatchStream, ProceduralSource
from bench3r.training.initialisation import initialise
from bench3r.training.trainer import Trainer
from bench3r.training.transfer import start_from
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"
SIZE = (48, 64)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: build_backbone(name, "tiny").eval() for name in ("dust3r", "mast3r")}


class World:
    """A rendered scene and perfect predictions for pairs of its views, each in a scale of its own."""

    def __init__(self, images=4, noise=0.0, size=SIZE, seed=100_000_123):
        views = make_scene("room", seed, images, size, 1)[1]
        depth = torch.from_numpy(views.depth).float()
        self.depth = torch.where(depth > 0, depth, depth.median())
        self.c2w = torch.from_numpy(views.c2w).float()
        self.w2c = torch.linalg.inv(self.c2w)
        self.k = torch.from_numpy(views.intrinsics).float()
        self.points = unproject(self.depth, self.w2c[:, :3], self.k)
        self.images, self.noise = images, noise

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
        """Largest rotation error in degrees, largest relative focal error, mean relative depth error after median scale."""
        relative = torch.linalg.inv(found.poses[:1]) @ found.poses
        truth = self.w2c[:1] @ self.c2w
        cosine = (
            (relative[:, :3, :3].mT @ truth[:, :3, :3]).diagonal(dim1=1, dim2=2).sum(1) - 1
        ) / 2
        ratio = torch.stack(found.depths) / self.depth
        focal = (found.focals / self.k[:, 0, 0] - 1).abs().max()
        return (
            float(cosine.clamp(-1, 1).acos().max().rad2deg()),
            float(focal),
            float((ratio / ratio.median() - 1).abs().mean()),
        )


@pytest.mark.parametrize(
    ("official", "config"),
    [
        ("dust3r-vitl-512-dpt", PairConfig()),
        ("dust3r-vitl-512-linear", DUST3R_VARIANTS["512_linear"]()),
        ("mast3r-vitl-512-catmlpdpt", PairConfig(descriptors=24)),
    ],
)
def test_full_size_state_dicts_are_the_official_ones(official, config):
    names = json.loads((GOLDEN / "backbone-names.json").read_text())["tensors"][official]
    with torch.device("meta"):
        model = PairNetwork(config)
    assert {n: list(t.shape) for n, t in model.state_dict().items()} == names


@pytest.mark.parametrize("case", ["dust3r-linear-small", "dust3r-ga"])
def test_outputs_equal_the_official_code(case):
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[3] == "FAIL"]


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="heads"):
        PairNetwork(PairConfig(enc_embed_dim=100, enc_num_heads=3))
    with pytest.raises(ValueError, match="dec_depth"):
        PairNetwork(PairConfig(dec_depth=2))
    with pytest.raises(ValueError, match="multiples of 8"):
        build_backbone("dust3r", "tiny").encode(torch.rand(1, 3, 50, 64))


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
@pytest.mark.parametrize(("images", "size"), [(2, (48, 64)), (3, (56, 40))])
def test_three_counts_agree_exactly(networks, name, images, size):
    edges = scene_graph(images)
    whole, views = PairPass(networks[name], edges), torch.rand(1, images, 3, *size)
    counted = flops.count(whole, views)
    closed = pair_macs(networks[name].config, images, len(edges), size)
    assert counted.macs == flops.count_torch(whole, views) == sum(closed.values())
    assert flops.parts(whole, counted.by_module) == closed
    assert sum(flops.parameter_parts(whole).values()) == sum(
        p.numel() for p in networks[name].parameters()
    )


def test_linear_head_is_counted():
    model = PairNetwork(
        PairConfig(
            patch_size=8,
            enc_embed_dim=48,
            enc_depth=1,
            enc_num_heads=3,
            dec_embed_dim=48,
            dec_depth=2,
            dec_num_heads=3,
            head="linear",
        )
    )
    assert flops.count(PairPass(model, [(0, 1)]), torch.rand(1, 2, 3, 16, 24)).macs == sum(
        pair_macs(model.config, 2, 1, (16, 24)).values()
    )


def test_every_image_is_encoded_once(networks, monkeypatch):
    seen = []
    encode = PairNetwork.encode
    monkeypatch.setattr(
        PairNetwork, "encode", lambda self, x: seen.append(len(x)) or encode(self, x)
    )
    with torch.inference_mode():
        networks["dust3r"](torch.rand(5, 3, 16, 24), scene_graph(5))
    assert sum(seen) == 5


def test_mixed_sizes_and_orientations_give_what_each_pair_gives_alone(networks):
    torch.manual_seed(1)
    images = [torch.rand(3, *s) for s in ((32, 48), (48, 32), (32, 48), (40, 40))]
    edges = scene_graph(4)
    with torch.inference_mode():
        together = networks["dust3r"](images, edges)
        for edge, found in zip(edges, together, strict=True):
            alone = networks["dust3r"]([images[edge[0]], images[edge[1]]], [(0, 1)])[0]
            assert found.points1.shape == (*images[edge[0]].shape[1:], 3)
            assert found.conf2.shape == images[edge[1]].shape[1:]
            torch.testing.assert_close(found.points2, alone.points2, rtol=1e-4, atol=1e-5)


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


def test_procrustes_finds_a_similarity_and_no_reflection(rng):
    p = torch.from_numpy(rng.normal(size=(50, 3)))
    rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))))[0]
    rotation = rotation * torch.linalg.det(rotation)
    q = 1.7 * p @ rotation.T + torch.tensor([1.0, -2, 3])
    q[:5] += 100
    weight = torch.ones(50)
    weight[:5] = 0
    scale, found, shift = procrustes(p, q, weight)
    torch.testing.assert_close(found, rotation)
    torch.testing.assert_close(scale, torch.tensor(1.7).double())
    torch.testing.assert_close(shift, torch.tensor([1.0, -2, 3]).double())
    flat = p * torch.tensor([1.0, 1, -1])
    assert torch.linalg.det(procrustes(p, flat, torch.ones(50))[1]) == pytest.approx(1)


def test_focal_length_and_pose_from_points():
    world = World(2)
    local = world.seen(0, world.points[0])
    noisy = local.clone()
    noisy[:5] = torch.rand(5, SIZE[1], 3) + 0.5  # a tenth of the points is nonsense
    assert float(focal_by_weiszfeld(local)) == pytest.approx(
        float(world.k[0, 0, 0]), rel=0.02
    )  # centre is half a pixel off
    assert float(focal_by_weiszfeld(noisy)) == pytest.approx(float(world.k[0, 0, 0]), rel=0.05)
    points, keep = world.points[1].clone(), torch.ones(SIZE, dtype=torch.bool)
    points[:8] = torch.rand(8, SIZE[1], 3)
    pose = pose_by_pnp(points, float(world.k[1, 0, 0]), keep)
    torch.testing.assert_close(pose, world.c2w[1], atol=0.05, rtol=0)
    assert pose_by_pnp(points, float(world.k[1, 0, 0]), torch.zeros(SIZE, dtype=torch.bool)) is None
    assert pose_by_pnp(points, float("nan"), keep) is None


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


def test_two_images_in_closed_form():
    world = World(2, 0.002)
    found = align_two(world.predictions(), AlignmentOptions())
    rotation, focal, depth = world.errors(found)
    assert rotation < 1.0  # the principal point is half a pixel off, and the pose makes up for it
    assert focal < 0.02
    assert depth < 0.01
    assert found.iterations == 0
    assert math.isnan(found.loss)


def test_sparse_alignment_recovers_a_scene():
    world = World(4, 0.005)
    matches = {(i, j): world.matches(i, j) for i in range(4) for j in range(i + 1, 4)}
    found = sparse_align(world.predictions(), matches, SparseOptions())
    rotation, focal, _ = world.errors(found)
    assert rotation < 1.0
    assert focal < 0.03
    assert found.loss < found.start_loss
    assert found.principal is not None


def test_sparse_alignment_without_trusted_matches_uses_the_points():
    world = World(3, 0.005)
    weak = {
        e: Matches(m.xy1, m.xy2, m.confidence / 10)
        for e in ((0, 1), (0, 2), (1, 2))
        if (m := world.matches(*e))
    }
    rotation, _, _ = world.errors(
        sparse_align(world.predictions(), weak, SparseOptions(iterations=(300, 100)))
    )
    assert rotation < 5.0


def test_canonical_view_keeps_the_shape():
    world = World(2)
    local = world.seen(0, world.points[0])
    view = canonical_view(local[None], torch.full((1, *SIZE), 5.0))
    blocks = (torch.arange(SIZE[0])[:, None] // 8) * (SIZE[1] // 8) + torch.arange(SIZE[1]) // 8
    torch.testing.assert_close(
        view.depth.flatten()[blocks] * view.relative, local[..., 2], rtol=1e-4, atol=1e-4
    )


def test_kinematic_tree_hangs_images_by_their_best_matches():
    scores = {(0, 1): 90.0, (1, 2): 80.0, (2, 3): 70.0, (0, 3): 5.0, (3, 4): 60.0}
    order, parents = kinematic_tree(5, scores, 100)
    edges = {tuple(sorted((i, p))) for i, p in enumerate(parents) if p >= 0}
    assert edges == {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert order[0] == 2  # the centre of the chain
    assert all(parents[i] == -1 or order.index(parents[i]) < order.index(i) for i in order)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.1, 1.5])
def test_robust_distance_is_zero_with_slope_one_at_zero(power):
    x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    assert float(robust(x, power).detach()) == pytest.approx(0)
    assert float(torch.autograd.grad(robust(x, power), x)[0]) == pytest.approx(1)


def features(height, width, seed=0):
    values = torch.randn(height, width, 24, generator=torch.Generator().manual_seed(seed))
    return values / values.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_matching_finds_a_shifted_image(metric):
    desc = features(24, 40)
    for tolerance in (None, 0.0):
        one, two = reciprocal_matches(
            desc[:, :32], desc[:, 8:], step=4, metric=metric, tolerance=tolerance
        )
        there = (
            one[:, 0] >= 8
        )  # what lies further left is not in the second image: other pixels may be its nearest
        assert torch.equal(one[there], two[there] + torch.tensor([8, 0]))
        seeds = {(x, y) for x in range(10, 32, 4) for y in range(2, 24, 4)}
        assert seeds <= set(map(tuple, one.tolist()))
    everything, _ = reciprocal_matches(
        desc[:, :32], desc[:, 8:], step=4, metric=metric, tolerance=1e9
    )
    assert len(everything) == 6 * 8


def test_pair_matches_merge_both_passes_and_directions():
    desc, sure = features(16, 24), torch.full((16, 24), 4.0)
    points = torch.rand(16, 24, 3)

    def output(a, b):
        return PairOutput(points, sure, points, sure, a, b, sure, 4 * sure)

    found = pair_matches(output(desc, desc.flip(1)), output(desc.flip(1), desc), step=8)
    assert len(found.confidence) == len(torch.cat([found.xy1, found.xy2], 1).unique(dim=0))
    torch.testing.assert_close(found.xy2[:, 0], 23 - found.xy1[:, 0])
    torch.testing.assert_close(found.confidence, torch.full_like(found.confidence, 8.0))


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


@pytest.mark.parametrize("graph", ["swin", "logwin"])
def test_a_window_must_reach_another_image(graph):
    with pytest.raises(ValueError, match="window of at least 1"):
        METHODS.get("dust3r").Options(graph=graph, window=0)


def test_bases_of_pairs_train_on_two_views(tmp_path):
    """Settings made for backbones, with more views and their losses, train a network of pairs too."""
    config = TrainConfig(
        steps=1, frames_per_batch=4, view_counts=(4,), heights=(48,), width=64, queries=8
    )
    trainer = train_base("mast3r", "tiny", config, tmp_path)
    assert trainer.step == 1
    assert trainer.scenes == 2


def test_nan_is_named_and_one_image_is_refused():
    world = World(2)
    pair = world.pair(0, 1)
    pair.conf2[3, 4] = torch.nan
    with pytest.raises(InvalidPrediction, match=r"images \(0, 1\).*conf2"):
        PairPredictions.of([(0, 1)], [pair])
    predictor = METHODS.get("mast3r")().build(BuildContext("mast3r", "tiny"))
    with pytest.raises(Unsupported, match="two images"):
        predictor(torch.rand(1, 1, 3, *SIZE))


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
        world.c2w,
        world.k[:, 0, 0],
        list(world.depth),
        [torch.full(SIZE, 5.0) for _ in range(2)],
        0.0,
        0.0,
        True,
        1,
        world.k[:, :2, 2],
    )
    lost = [float((c == 0).float().mean()) for c in clean(aligned, 0.05)]
    aligned.depths[0], aligned.confidence[0] = aligned.depths[0].clone(), torch.full(SIZE, 2.0)
    aligned.depths[0][20:28, 20:28] *= 0.5  # floats before the wall
    after = clean(aligned, 0.05)
    assert max(lost) < 0.05
    assert float((after[0][20:28, 20:28] == 0).float().mean()) > 0.5
    assert float((after[1] == 0).float().mean()) < 0.05


@pytest.mark.parametrize(
    ("name", "images"), [("dust3r", 3), ("mast3r", 3), ("dust3r", 2), ("mast3r", 2)]
)
def test_predictors_align_and_time_their_phases(name, images, monkeypatch):
    """The whole predictor on perfect predictions for pairs."""
    world = World(images, 0.003)
    monkeypatch.setattr(
        PairNetwork, "forward", lambda self, views, edges: [world.pair(i, j) for i, j in edges]
    )
    module = sys.modules[METHODS.get("mast3r").__module__]
    monkeypatch.setattr(module, "pair_matches", lambda one, two, step: None)
    monkeypatch.setattr(
        module, "sparse_align", lambda p, found, options: sparse_align(p, truth, options)
    )
    truth = {(i, j): world.matches(i, j) for i in range(images) for j in range(i + 1, images)}
    predictor = METHODS.get(name)().build(BuildContext(name, "tiny"))
    views = torch.rand(1, images, 3, *SIZE)
    with torch.inference_mode():
        out = predictor(views)
    assert out.problems(views) == []
    torch.testing.assert_close(out.extrinsics[0, 0], torch.eye(4)[:3], atol=1e-4, rtol=0)
    expected = (world.w2c @ world.c2w[:1])[:, :3, :3]
    cosine = ((out.extrinsics[0, :, :, :3].mT @ expected).diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert float(cosine.clamp(-1, 1).acos().max().rad2deg()) < 1.5
    assert out.extras["edges"] == images * (images - 1)
    assert out.extras["network_seconds"] > 0
    assert out.extras["alignment_seconds"] > 0
    assert out.extras["alignment_peak_bytes"] > 0
    closed = images == 2
    assert out.extras["alignment"] == (
        "closed form" if closed else {"dust3r": "global", "mast3r": "sparse"}[name]
    )
    assert ("alignment_loss" in out.extras) is not closed


def test_official_files_load_without_unpickling_more_than_their_arguments(tmp_path, networks):
    state = networks["dust3r"].state_dict()
    torch.save(
        {"args": Namespace(model="AsymmetricCroCo3DStereo()", lr=0.1), "model": state},
        tmp_path / "official.pth",
    )
    again = build_backbone("dust3r", "tiny")
    load_strict(again, read_state_dict(tmp_path / "official.pth"), "official.pth")
    torch.testing.assert_close(again.enc_norm.weight, networks["dust3r"].enc_norm.weight)
    torch.save({"args": Namespace(model=Path("x")), "model": state}, tmp_path / "other.pth")
    with pytest.raises(Bench3RError, match="refused"):
        read_state_dict(tmp_path / "other.pth")


def test_shared_tensors_load_under_either_name(tmp_path, networks):
    state = {k: v.clone() for k, v in networks["dust3r"].state_dict().items()}
    marked = torch.full_like(state["downstream_head1.dpt.scratch.layer1_rn.weight"], 0.25)
    for dropped, kept in (("layer1_rn", "layer_rn.0"), ("layer_rn.0", "layer1_rn")):
        part = {
            k: v for k, v in state.items() if k != f"downstream_head1.dpt.scratch.{dropped}.weight"
        }
        part[f"downstream_head1.dpt.scratch.{kept}.weight"] = marked
        save_safetensors(tmp_path / "hub.safetensors", part)
        model = build_backbone("dust3r", "tiny")
        load_strict(model, read_state_dict(tmp_path / "hub.safetensors"), "hub")
        torch.testing.assert_close(
            model.downstream_head1.dpt.scratch.layer_rn[0].weight.data, marked
        )


def test_croco_weights_get_a_second_decoder(networks):
    state = {
        k: v for k, v in networks["dust3r"].state_dict().items() if not k.startswith("dec_blocks2")
    }
    state["prediction_head.weight"] = torch.zeros(3)
    model = build_backbone("dust3r", "tiny")
    load_strict(model, state, "croco")
    torch.testing.assert_close(
        model.dec_blocks2[1].mlp.fc1.weight, model.dec_blocks[1].mlp.fc1.weight
    )
    with pytest.raises(Bench3RError, match="missing"):
        load_strict(model, {k: v for k, v in state.items() if "enc_norm" not in k}, "croco")


def batches(seed=3, queries=40):
    source = ProceduralSource((64, 64), 4)
    return iter(BatchStream(source, 4, (2,), (48,), queries, 4, seed, buffer=2))


def small(descriptors=0):
    torch.manual_seed(0)
    model = PairNetwork(
        PairConfig(
            patch_size=8,
            enc_embed_dim=48,
            enc_depth=1,
            enc_num_heads=3,
            dec_embed_dim=48,
            dec_depth=4,
            dec_num_heads=3,
            dpt=PairDPTConfig(features=16, out_channels=(16, 16, 16, 16)),
            descriptors=descriptors,
        )
    )
    initialise(model)
    return model


def test_confidence_loss_is_least_at_the_truth_in_any_scale():
    batch = next(batches())
    truth, conf = batch.points, torch.full(batch.depth.shape[:1] + batch.depth.shape[2:], 2.0)
    exact = confidence_loss(PairOutput(3 * truth[:, 0], conf, 3 * truth[:, 1], conf), batch)
    assert float(exact) == pytest.approx(2 * -0.2 * math.log(2), abs=1e-3)
    wrong = confidence_loss(PairOutput(truth[:, 0], conf, truth[:, 1] + 0.1, conf), batch)
    assert wrong > exact + 0.2


def test_descriptor_loss_rewards_matching_features():
    batch = next(batches(queries=60))
    b, _, h, w = batch.depth.shape
    conf = torch.full((b, h, w), 2.0)
    points = torch.zeros(b, h, w, 3)
    random = torch.stack([features(h, w, n) for n in range(b)])
    found = []
    for matched in (False, True):
        second = torch.stack([features(h, w, 50 + n) for n in range(b)])
        if matched:
            for n in range(b):
                seen = batch.visible[n, 1] & batch.tracked[n, 1]
                one, two = (
                    xy.round().long() for xy in (batch.queries[n, seen], batch.tracks[n, 1, seen])
                )
                two = torch.minimum(two.clamp(min=0), torch.tensor([w - 1, h - 1]))
                second[n, two[:, 1], two[:, 0]] = random[n, one[:, 1], one[:, 0]]
        found.append(
            float(
                descriptor_loss(
                    PairOutput(points, conf, points, conf, random, second, conf, conf), batch
                )
            )
        )
    assert found[1] < found[0] - 1


@pytest.mark.parametrize("descriptors", [0, 8])
def test_pair_networks_learn(tmp_path, descriptors):
    """The loss on a fixed batch falls; every part that is weighed takes part."""
    model = small(descriptors)
    weights = {"point": 1.0, "matching": 0.5} | ({"descriptor": 0.075} if descriptors else {})
    batch = next(batches())
    config = TrainConfig(
        steps=12,
        lr=3e-3,
        warmup=2,
        view_counts=(2,),
        loss_weights=weights,
        workers=0,
        log_every=1,
        ema=0.5,
    )
    before = {k: float(v.detach()) for k, v in pair_losses(model, batch, weights).items()}
    trainer = Trainer(model, config, tmp_path, lambda seen: iter(lambda: batch, None))
    trainer.run()
    after = {k: float(v.detach()) for k, v in pair_losses(model, batch, weights).items()}
    assert set(after) == set(weights)
    assert after["point"] < before["point"]
    assert (tmp_path / "curve.csv").read_text().count("\n") == 13
    three = next(
        iter(BatchStream(ProceduralSource((64, 64), 4), 3, (3,), (48,), 4, 4, 0, buffer=2))
    )
    with pytest.raises(ValueError, match="view_counts"):
        pair_losses(model, three, weights)


def test_training_starts_from_vggt_and_mast3r_from_dust3r():
    vggt = read_state_dict(resolve_base("shipped", "vggt", "tiny", None))
    dust3r, mast3r = build_backbone("dust3r", "tiny"), build_backbone("mast3r", "tiny")
    assert start_from(dust3r, "vggt", vggt) > 150
    fc1 = vggt["aggregator.global_blocks.2.mlp.fc1.weight"].float()
    torch.testing.assert_close(dust3r.dec_blocks2[2].mlp.fc1.weight, fc1)
    images = torch.rand(2, 3, 16, 16)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    kernel, bias = (
        vggt[f"aggregator.patch_embed.patch_embed.proj.{n}"].float() for n in ("weight", "bias")
    )
    expected = torch.nn.functional.conv2d((images - mean) / std, kernel, bias, 8).flatten(2).mT
    torch.testing.assert_close(dust3r.patch_embed(2 * images - 1), expected, rtol=1e-3, atol=1e-3)
    assert start_from(mast3r, "dust3r", dust3r.state_dict()) == len(dust3r.state_dict())
    with pytest.raises(Bench3RError, match="nothing of the weights of dust3r fits a dust3r"):
        start_from(dust3r, "dust3r", mast3r.state_dict())


def test_plan_gives_pairwise_models_their_own_network():
    config = RunConfig(
        name="x",
        methods={
            "vggt": {},
            "dust3r": {"graph": ["complete", "swin"]},
            "mast3r": {},
            "trivial": {},
        },
        datasets={"scannet": {"root": "procedural", "scenes": 1}},
        backbones=["pi3", "vggt"],
    )
    plan = make_plan(config)
    found = {(c.method, c.backbone) for c in plan.cells}
    assert found == {
        ("vggt", "vggt"),
        ("dust3r", "dust3r"),
        ("mast3r", "mast3r"),
        ("trivial", "none"),
    }
    assert len([c for c in plan.cells if c.method == "dust3r"]) == 2
    assert {p.method for p in plan.profiles} == {"vggt", "dust3r", "mast3r"}
    trained = make_plan(config.model_copy(update={"base": "train"}))
    assert {"base.dust3r.tiny.s0", "base.mast3r.tiny.s0"} <= {
        t.id.rsplit(".", 1)[0] for t in trained.trainings
    }


def test_network_is_deterministic_and_finite_under_bfloat16(networks):
    model = build_backbone("mast3r", "tiny").eval()
    model.load_state_dict(networks["mast3r"].state_dict())
    images = torch.rand(2, 3, *SIZE)
    with torch.inference_mode():
        exact = model(images, [(0, 1)])[0]
        model.trunk_dtype = torch.bfloat16
        half = model(images, [(0, 1)])[0]
    assert half.points1.dtype == torch.float32
    assert np.isfinite(half.points1.numpy()).all()
    torch.testing.assert_close(half.points1, exact.points1, rtol=0.2, atol=0.05)


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
def test_shipped_weights_reconstruct(name):
    """With the weights that ship, a rendered scene comes out closer to the truth than a constant depth."""
    views = make_scene("room", 200_000_016, 3, (72, 96), 1)[1]
    images = torch.from_numpy(views.images).permute(0, 3, 1, 2)[None].float() / 255
    weights = resolve_base("shipped", name, "tiny", None)
    cls = METHODS.get(name)
    with torch.inference_mode():
        out = cls().build(BuildContext(name, "tiny", weights=weights))(images)
    assert out.problems(images) == []
    known = views.depth > 0
    truth, found = views.depth[known], out.depth[0].numpy()[known]
    found = found * np.median(truth) / np.median(found)
    error = (np.abs(found - truth) / truth).mean()
    assert error < 0.8 * (np.abs(np.median(truth) - truth) / truth).mean()
    assert out.extras["alignment"] == ("global" if name == "dust3r" else "sparse")
