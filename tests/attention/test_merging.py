"""Merging tokens: order restored, protected tokens on their own."""

from __future__ import annotations

import pytest
import torch

from bench3r.attention import merging
from bench3r.attention.merging import (
    best_match,
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matching_has_the_precision_asked_for_under_autocast(dtype):
    a = torch.randn(1, 200, 64)
    b = torch.randn(1, 300, 64)
    with torch.autocast("cpu", torch.bfloat16):
        values, indices = best_match(a, b, dtype=dtype)
    expected, places = best_match(a, b, dtype=dtype)
    assert values.dtype == dtype
    assert torch.equal(values, expected)
    assert torch.equal(indices, places)


def test_few_similarities_are_held_at_once(monkeypatch):
    a = torch.randn(1, 200, 64)
    b = torch.randn(1, 300, 64)
    whole = best_match(a, b)
    monkeypatch.setattr(merging, "MATCHES", 7 * 300)
    for one, other in zip(best_match(a, b), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_many_tokens_are_merged_a_head_at_a_time(monkeypatch):
    x = torch.randn(4, 50, 8)
    plan = strided_plan(x[0], strided_tokens([torch.arange(5, 45)], torch.arange(5), 3))
    plan.read[45:] = 0
    whole = plan.merge(x)
    monkeypatch.setattr(merging, "LARGE", 0)
    torch.testing.assert_close(plan.merge(x), whole)
