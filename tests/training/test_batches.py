"""Training batches: normalised, with tracks on surfaces, and no scene twice among the ranks."""

from __future__ import annotations

import torch

from bench3r.data.procedural.render import make_scene
from bench3r.training.samples import (
    BatchStream,
    ProceduralSource,
    make_batch,
    make_tracks,
    pick_views,
)


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
        batches = BatchStream(
            source,
            4,
            view_counts=(2,),
            heights=(32,),
            queries=4,
            reuse=2,
            seed=0,
            rank=rank,
            ranks=2,
        )
        stream = iter(batches)
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
