"""FP8: products equal their emulation, storage keeps values."""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import nn
from torch._inductor.utils import run_and_get_code

from bench3r.attention.float8 import (
    StoredLinear,
    _compiled_quantise,
    fake_quantise,
    quantise,
    replace_linears,
)
from bench3r.measure import flops
from bench3r.models import chunks
from tests.helpers.attention import Wrapped
from tests.helpers.gpu_free.device import PretendCuda
from tests.helpers.gpu_free.tensors import GIB


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


def test_fused_quantisation_is_one_kernel_without_wide_copies():
    """Compiled as a GPU has it, here to C++: nothing of the tokens' size but their codes."""
    x = torch.randn(33, 24, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.inference_mode():
        (codes, scale), (code,) = run_and_get_code(_compiled_quantise(), x)
    expected, scales = quantise(x.float())
    assert torch.equal(codes.view(torch.uint8), expected.view(torch.uint8))
    torch.testing.assert_close(scale, scales, rtol=0, atol=0)
    made = re.findall(r"empty_strided_cpu\(\(\w+, (\w+)\), .*, torch\.(\w+)\)", code)
    wide = [(columns != "1", dtype) for columns, dtype in made]
    assert sorted(wide) == [(False, "float32"), (True, "float8_e4m3fn")], code
    assert len(re.findall(r"^ +cpp_fused\w+\(", code, re.MULTILINE)) == 1


def test_quantised_products_of_many_tokens_hold_little_beside_them():
    tokens = 1 << 20
    with PretendCuda(values=False) as gpu, torch.inference_mode():
        linear = nn.Linear(1024, 4096).to(torch.bfloat16)
        stored = StoredLinear(linear, torch.float8_e4m3fn, True, True).to("cuda")
        x = torch.empty(1, tokens, 1024, dtype=torch.bfloat16, device="cuda")
        before = gpu.memory.live
        gpu.memory.reset()
        out = stored(x)
        kept = out.numel() * out.element_size()
        assert kept == tokens * 4096 * 2
        assert gpu.memory.peak - before - kept < 2 * GIB  # here unfused; all at once: 13 GiB
