"""Procedural scenes: deterministic, exact, different in complexity, unleaky."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.data.procedural.render import make_scene
from bench3r.data.procedural.seeds import TEST_SEEDS, TRAIN_SEEDS, VALIDATION_SEEDS
from bench3r.data.procedural.world import STYLES
from bench3r.training.samples import (
    BatchStream,
    ProceduralSource,
    make_batch,
    make_tracks,
    pick_views,
)


@pytest.mark.parametrize("style", STYLES)
def test_scenes_are_deterministic_and_pass_the_gate(style):
    world, views = make_scene(style, 5, 4, (60, 80))
    _, again = make_scene(style, 5, 4, (60, 80))
    _, other = make_scene(style, 6, 4, (60, 80))
    np.testing.assert_array_equal(views.images, again.images)
    np.testing.assert_array_equal(views.depth, again.depth)
    assert not np.array_equal(views.images, other.images)
    frames = [
        Frame(*v) for v in zip(views.images, views.intrinsics, views.c2w, views.depth, strict=True)
    ]
    result = reprojection.check(frames, style)
    assert result.median is not None
    assert result.median < 0.01
    assert len(world.meshes) == len(world.textures)


def test_depth_is_the_distance_along_z_of_the_mesh():
    world, views = make_scene("tabletop", 3, 2, (48, 64), samples=1)
    rows, columns = np.nonzero(views.depth[0] > 0)
    pick = np.random.default_rng(0).choice(len(rows), 50)
    z = views.depth[0][rows[pick], columns[pick]].astype(np.float64)
    camera = np.linalg.solve(
        views.intrinsics[0], np.stack([columns[pick], rows[pick], np.ones(50)]) * z
    )
    points = (views.c2w[0][:3, :3] @ camera).T + views.c2w[0][:3, 3]
    nearest = np.min([np.abs(distances(mesh, points)) for mesh in world.meshes], axis=0)
    assert nearest.max() < 1e-3


def distances(mesh, points):
    """Distance of points to a mesh, by its triangles (no spatial index needed for so few)."""
    import trimesh

    out = np.full(len(points), np.inf)
    for i, p in enumerate(points):
        closest = trimesh.triangles.closest_point(
            mesh.triangles, np.repeat(p[None], len(mesh.triangles), 0)
        )
        out[i] = np.linalg.norm(closest - p, axis=1).min()
    return out


def flat_share_and_range(style: str) -> tuple[float, float]:
    """Share of 8 x 8 patches that are planar (inverse depth linear to 1 %), and the 95 % / 5 % depth ratio."""
    v, u = np.mgrid[:8, :8]
    plane = np.stack([u.ravel(), v.ravel(), np.ones(64)], 1)
    project = plane @ np.linalg.pinv(plane)
    flat, spread = [], []
    for seed in range(6):
        depth = make_scene(style, seed, 2, (96, 96), samples=1)[1].depth
        patches = depth.reshape(-1, 12, 8, 12, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 64)
        inverse = 1 / patches[(patches > 0).all(1)]
        flat.append((np.abs(inverse - inverse @ project.T).max(1) < 0.01 * inverse.mean(1)).mean())
        spread.append(np.quantile(depth[depth > 0], 0.95) / np.quantile(depth[depth > 0], 0.05))
    return float(np.mean(flat)), float(np.mean(spread))


def test_styles_differ_in_spatial_complexity():
    (room_flat, room_range), (_, table_range), (out_flat, out_range) = map(
        flat_share_and_range, STYLES
    )
    assert room_flat > 1.15 * out_flat  # walls against vegetation
    assert table_range < 0.8 * room_range < 0.8 * out_range


def test_seed_ranges_are_disjoint():
    starts = sorted([TRAIN_SEEDS, VALIDATION_SEEDS, TEST_SEEDS])
    assert min(b - a for a, b in zip(starts, starts[1:], strict=False)) >= 1_000_000_000


def test_batches_are_normalised_and_tracks_follow_surfaces(rng):
    views = [make_scene(style, 1, 3, (48, 48), samples=1)[1] for style in ("room", "outdoor")]
    batch = make_batch(views, 40, rng)
    valid = batch.depth > 0
    scale = (batch.points.norm(dim=-1) * valid).flatten(1).sum(1) / valid.flatten(1).sum(1)
    torch.testing.assert_close(scale, torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        batch.extrinsics[:, 0], torch.eye(4)[:3].expand(2, 3, 4), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(batch.tracks[:, 0], batch.queries, atol=1e-3, rtol=0)
    assert batch.visible[:, 0].float().mean() > 0.99
    tracks, visible, _ = make_tracks(batch.depth, batch.extrinsics, batch.intrinsics, batch.queries)
    row, column = tracks[1, 2, :, 1].round().long(), tracks[1, 2, :, 0].round().long()
    seen = visible[1, 2]
    colour = batch.images[1, 2][:, row[seen], column[seen]]
    start = batch.images[1, 0][
        :, batch.queries[1, seen, 1].long(), batch.queries[1, seen, 0].long()
    ]
    assert (colour - start).abs().median() < 0.08  # a point keeps its colour between views


def test_ranks_see_different_scenes():
    seen = {}
    for rank in (0, 1):
        source = Counting()
        stream = iter(BatchStream(source, 4, (2,), (32,), 4, 2, 0, rank=rank, ranks=2))
        for _ in range(4):
            next(stream)
        seen[rank] = set(source.asked)
    assert seen[0]
    assert not seen[0] & seen[1]


class Counting(ProceduralSource):
    def __init__(self):
        super().__init__((32, 32), 3, samples=1)
        self.asked = []

    def __call__(self, index):
        self.asked.append(index)
        return super().__call__(index)


def test_view_subsets_have_no_repeats(rng):
    for count in (2, 5, 8):
        for _ in range(20):
            picked = pick_views(8, count, rng)
            assert len(set(picked)) == count
            assert picked.min() >= 0
            assert picked.max() < 8
