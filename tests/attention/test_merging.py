"""Merging tokens: order restored, protected tokens on their own."""

from __future__ import annotations

import pytest
import torch

from bench3r.attention.merging import (
    bipartite_plan,
    strided_plan,
    strided_tokens,
    token_roles,
)


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_merging_then_unmerging_restores_order(factor):
    x = torch.randn(50, 8)
    groups, alone = (
        [torch.arange(5, 25), torch.arange(25, 48)],
        torch.tensor([0, 1, 2, 3, 4, 48, 49]),
    )
    plan = strided_plan(x, strided_tokens(groups, alone, factor))
    assert plan.merged_length == 7 + -(-20 // factor) + -(-23 // factor)
    back = plan.unmerge(plan.merge(x[None]))[0]
    torch.testing.assert_close(back[alone], x[alone])
    same = (plan.read[:, None] == plan.read).float()
    torch.testing.assert_close(
        back, same @ x / same.sum(1, keepdim=True)
    )  # every token reads the mean of its group
    if factor == 1:
        torch.testing.assert_close(back, x)


def test_protected_tokens_of_a_bipartite_plan_read_themselves():
    x, destination = torch.randn(40, 8), torch.zeros(40, dtype=torch.bool)
    destination[::4] = True
    protected = torch.tensor([0, 5, 9])
    plan = bipartite_plan(x, token_roles(destination, protected), 100)
    torch.testing.assert_close(plan.unmerge(plan.merge(x))[protected], x[protected])
    assert plan.merged_length == 10 + 3  # destinations, and the protected once more
