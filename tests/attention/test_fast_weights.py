"""Fast weights: chunks equal the whole, gradients equal autograd, memories recall."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bench3r.attention import fast_weights
from bench3r.attention.fast_weights import FastWeights, initial_weights, unit


def test_fast_weights_in_chunks_equal_the_whole():
    start = initial_weights(3, 16, 64, torch.Generator().manual_seed(1))
    k, v = unit(torch.randn(3, 90, 16)), torch.randn(3, 90, 16)
    lr = tuple(0.01 * torch.rand(3, 90, 1) for _ in range(3))
    whole, parts = (start.fit([(k, v, lr)], 2, chunk) for chunk in (1000, 17))
    for a, b in zip((whole.w0, whole.w1, whole.w2), (parts.w0, parts.w1, parts.w2), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for before, after in zip(start.norms(), whole.norms(), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)  # columns keep their norm


def test_fast_weights_gradients_equal_autograd():
    w = [t.double().requires_grad_() for t in vars(initial_weights(2, 8, 32)).values()]
    k, v = torch.randn(2, 20, 8).double(), torch.randn(2, 20, 8).double()
    lr = tuple(torch.rand(2, 20, 1).double() for _ in range(3))
    weights = FastWeights(*w)
    for i, gradient in enumerate(weights.gradients(k, v, lr)):
        objective = (lr[i] * (weights.apply(k) * v).sum(-1, keepdim=True)).sum()
        (expected,) = torch.autograd.grad(objective, (w[0], w[1], w[2])[i])
        torch.testing.assert_close(gradient, expected)


def test_a_memory_recalls_what_it_was_fitted_to():
    torch.manual_seed(0)
    k, v = unit(torch.randn(1, 40, 16)), torch.randn(1, 40, 16)
    lr = tuple(torch.full((1, 40, 1), 0.1) for _ in range(3))
    start = initial_weights(1, 16, 64)
    agree = [
        F.cosine_similarity(w.apply(k), v, dim=-1).mean()
        for w in (start, start.fit([(k, v, lr)], 1, 99), start.fit([(k, v, lr)], 4, 99))
    ]
    assert agree[0] < 0.3 < agree[1] < agree[2]


def test_gradients_of_many_chunks_add_up_in_float32():
    part = [torch.ones(1, 2, 2, dtype=torch.bfloat16)]
    total: list = []
    for _ in range(1000):  # in bfloat16 the sum would stop at 256
        total = fast_weights._added(total, part)
    assert (total[0] == 1000).all()
    k = unit(torch.randn(1, 64, 16))
    lr = tuple(torch.rand(1, 64, 1) for _ in range(3))
    start = initial_weights(1, 16, 64, torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert start.fit([(k, k, lr)], 1, 8).w0.dtype == torch.float32
