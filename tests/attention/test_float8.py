"""FP8: products equal their emulation, storage keeps values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bench3r.attention.float8 import StoredLinear, fake_quantise, quantise, replace_linears
from bench3r.measure import flops
from bench3r.models import chunks
from tests.helpers.attention import Wrapped


def test_fp8_products_equal_their_emulation_and_are_counted_alike():
    """The kernel that FP8 hardware runs exists for the CPU too."""
    linear, x = nn.Linear(32, 48), torch.randn(1, 5, 32)
    emulated = StoredLinear(linear, torch.float8_e4m3fn, activations=True)
    multiplied = StoredLinear(linear, torch.float8_e4m3fn, activations=True, products=True)
    assert multiplied.products
    assert not StoredLinear(nn.Linear(32, 9), torch.float8_e4m3fn, True, True).products
    with torch.no_grad():
        torch.testing.assert_close(
            multiplied(x), emulated(x), rtol=2e-2, atol=2e-2
        )  # sums come back in bf16
        assert (emulated(x) - linear(x)).abs().max() < 0.1
        counts = [
            flops.count(nn.Sequential(m, Wrapped()), x).macs for m in (linear, emulated, multiplied)
        ]
        assert counts == [5 * 32 * 48] * 3
        assert flops.count_torch(nn.Sequential(multiplied, Wrapped()), x) == counts[0]


def test_fp8_storage_keeps_values_and_a_quarter_of_the_bytes():
    linear = nn.Linear(32, 16)
    stored, x = StoredLinear(linear, torch.float8_e4m3fn), torch.randn(5, 32)
    codes, scale = quantise(linear.weight.detach())
    assert stored.weight.element_size() == 1
    torch.testing.assert_close(stored(x), F.linear(x, codes.float() * scale, linear.bias))
    torch.testing.assert_close(fake_quantise(linear.weight).detach(), codes.float() * scale)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert replace_linears(model, lambda m: StoredLinear(m, torch.bfloat16)) == 2


def test_products_have_the_precision_of_other_layers():
    """Else a model in FP8 would attend in float32 against a baseline in bfloat16."""
    x = torch.randn(1, 5, 32)
    for products in (True, False):
        stored = StoredLinear(nn.Linear(32, 48), torch.float8_e4m3fn, True, products)
        with torch.no_grad():
            assert stored(x).dtype == torch.float32
            with torch.autocast("cpu", torch.bfloat16):
                assert stored(x).dtype == torch.bfloat16


def test_tokens_in_parts_are_quantised_alike(monkeypatch):
    stored = StoredLinear(nn.Linear(32, 48), torch.float8_e4m3fn, True, True)
    x = torch.randn(3, 50, 32)
    with torch.no_grad():
        whole = stored(x)
        monkeypatch.setattr(chunks, "TOKENS", 16)
        assert torch.equal(stored(x), whole)
