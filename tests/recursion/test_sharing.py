"""Sharing of pairs: patterns, taps, initialisation."""

from __future__ import annotations

import copy

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.recursion.sharing import Sharing, initial_sources
from tests.helpers.recursion import FixedDepth


def test_taps_follow_the_applications_and_repeat_the_last(tiny):
    images = torch.rand(1, 2, 3, 48, 48)
    tiny.schedule = FixedDepth(tiny.trunk, Sharing(4, 4), torch.full((1, 2, 6, 6), 2))
    with torch.no_grad():
        taps = tiny.run_trunk(images)[0].taps
    assert not torch.equal(taps[0], taps[1])
    assert torch.equal(taps[1], taps[2])
    assert torch.equal(taps[1], taps[3])


def test_sharing_patterns():
    assert Sharing(24, 4).group == 6
    assert Sharing(24, 4).sources(1) == [1, 7, 13, 19]
    assert Sharing(24, 4, "sequence").sources(1) == [4, 5, 6, 7]
    assert Sharing(24, 11, "middle_cycle").unshared == (1, 1)
    assert Sharing(12, 4, "middle_cycle").unshared == (2, 2)
    assert [s.position for s in Sharing(12, 4).steps(2)] == [0, 1, 2, 3, 4, 5]
    assert Sharing(12, 4).tap_steps((2, 5, 8, 11), 4) == {2: 2, 5: 5, 8: 8, 11: 11}
    assert Sharing(12, 4).tap_steps((2, 5, 8, 11), 2) == {2: 2, 5: 5, 8: 5, 11: 5}
    assert Sharing(24, 4).tap_steps((4, 11, 17, 23), 4) == {4: 5, 11: 11, 17: 17, 23: 23}
    assert initial_sources(Sharing(12, 4), 2, "stepwise") == [11]
    with pytest.raises(Bench3RError, match="no multiple of 3"):
        Sharing(4, 3)
    with pytest.raises(Bench3RError, match="middle_cycle"):
        Sharing(4, 4, "middle_cycle")


def test_average_initialisation_is_the_mean_of_the_tied_pairs(tiny):
    before = copy.deepcopy(tiny.trunk.frame_blocks)
    FixedDepth(tiny.trunk, Sharing(4, 4), torch.ones(1, 1, 6, 6, dtype=torch.int64))
    mean = torch.stack([b.mlp.fc1.weight for b in before]).mean(0)
    torch.testing.assert_close(tiny.trunk.frame_blocks[0].mlp.fc1.weight, mean)
