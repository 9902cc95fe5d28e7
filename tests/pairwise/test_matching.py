"""Reciprocal matching of local features."""

from __future__ import annotations

import pytest
import torch

from bench3r.models.pair.network import PairOutput
from bench3r.pairwise.matching import pair_matches, reciprocal_matches
from tests.helpers.pairs import features


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
    desc = features(16, 24)
    sure = torch.full((16, 24), 4.0)
    points = torch.rand(16, 24, 3)

    def output(a, b):
        described = {"desc1": a, "desc2": b, "desc_conf1": sure, "desc_conf2": 4 * sure}
        return PairOutput(points, sure, points, sure, **described)

    found = pair_matches(output(desc, desc.flip(1)), output(desc.flip(1), desc), step=8)
    assert len(found.confidence) == len(torch.cat([found.xy1, found.xy2], 1).unique(dim=0))
    torch.testing.assert_close(found.xy2[:, 0], 23 - found.xy1[:, 0])
    torch.testing.assert_close(found.confidence, torch.full_like(found.confidence, 8.0))
