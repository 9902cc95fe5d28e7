"""Packed sequences of different lengths attend in one call, or one per length, and exactly."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from bench3r.attention.segments import Segments, attend_segments
from bench3r.measure import flops
from bench3r.models.layers import SoftmaxCore, TokenLayout
from tests.helpers.attention import Wrapped
from tests.helpers.gpu_free.device import PretendCuda

LAYOUT = TokenLayout(1, 6, 1, 4, 4)
QUERIES = (5, 3, 5, 1, 3, 5)
KEYS = (7, 17, 7, 17, 9, 7)
KINDS = 4  # (5, 7), (3, 17), (1, 17), (3, 9)
HEADS = 2
WIDTH = 16


class Watched(SoftmaxCore):
    """A core of a method's own, which counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, q, k, v, layout=None):
        self.calls += 1
        return super().forward(q, k, v, layout)


def tokens(lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(lengths), HEADS, WIDTH, generator=generator)


def one_by_one(q, k, v, queries=QUERIES, keys=KEYS):
    """Every segment by a call of its own."""
    out = []
    for part in zip(q.split(queries), k.split(keys), v.split(keys), strict=True):
        rows = [x.transpose(0, 1)[None] for x in part]
        out.append(F.scaled_dot_product_attention(*rows)[0].transpose(0, 1))
    return torch.cat(out)


def segments(lengths, device="cpu"):
    return Segments(lengths, torch.device(device))


def attend(core, *packed, queries=QUERIES, keys=KEYS):
    where = [segments(lengths, packed[0].device) for lengths in (queries, keys)]
    return attend_segments(core, *packed, *where, layout=LAYOUT)


@pytest.fixture
def packed():
    return tokens(QUERIES, 0), tokens(KEYS, 1), tokens(KEYS, 2)


def test_every_segment_attends_to_its_own_keys_alone(packed):
    expected = one_by_one(*packed)
    with torch.inference_mode():
        torch.testing.assert_close(attend(SoftmaxCore(), *packed), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(attend(SoftmaxCore(), *packed), expected, rtol=1e-6, atol=1e-6)


def test_cores_of_methods_are_called_once_per_length(packed):
    core = Watched()
    found = attend(core, *packed)
    assert core.calls == KINDS
    torch.testing.assert_close(found, one_by_one(*packed), rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_single_calls(packed):
    leaves = [x.clone().requires_grad_() for x in packed]
    expected = torch.autograd.grad(one_by_one(*leaves).square().sum(), leaves)
    found = torch.autograd.grad(attend(SoftmaxCore(), *leaves).square().sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_fused_attention_runs_once_per_length(packed):
    with torch.profiler.profile() as seen, torch.inference_mode():
        attend(SoftmaxCore(), *packed)
    names = [event.name for event in seen.events()]
    assert names.count("aten::scaled_dot_product_attention") == KINDS


@pytest.mark.parametrize("equal", [True, False])
def test_counters_see_the_pairs_of_the_segments_alone(packed, equal):
    q, k, v = packed
    queries = (5, 5) if equal else QUERIES
    keys = (7, 7) if equal else KEYS
    q, k, v = q[: sum(queries)], k[: sum(keys)], v[: sum(keys)]

    class Attend(Wrapped):
        def forward(self, x):
            return super().forward(attend(SoftmaxCore(), x, k, v, queries=queries, keys=keys))

    pairs = sum(i * j for i, j in zip(queries, keys, strict=True))
    macs = 2 * pairs * HEADS * WIDTH
    assert flops.count(Attend(), q).macs == macs
    assert flops.count_torch(Attend(), q) == macs


KERNELS = {
    torch.bfloat16: "_flash_attention_forward",
    torch.float16: "_flash_attention_forward",
    torch.float32: "_efficient_attention_forward",
}


@pytest.mark.parametrize("dtype", KERNELS)
def test_a_gpu_is_called_once(packed, dtype):
    low = [x.to(dtype) for x in packed]
    with PretendCuda(values=True) as gpu, torch.inference_mode():
        found = attend(SoftmaxCore(), *(x.to("cuda") for x in low)).cpu()
    assert gpu.varied == {KERNELS[dtype]: 1}
    assert found.dtype == dtype
    wide = one_by_one(*(x.float() for x in low))
    loose = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(found.float(), wide, rtol=loose, atol=loose)


def test_older_gpus_have_the_memory_efficient_kernel(packed):
    with PretendCuda(values=True, capability=(7, 0)) as gpu, torch.inference_mode():
        attend(SoftmaxCore(), *(x.half().to("cuda") for x in packed))
    assert gpu.varied == {"_efficient_attention_forward": 1}


def test_heads_that_no_kernel_takes_attend_by_length(packed):
    narrow = [x[..., :6] for x in packed]
    with PretendCuda(values=True) as gpu, torch.inference_mode():
        found = attend(SoftmaxCore(), *(x.to("cuda") for x in narrow)).cpu()
    assert not gpu.varied
    torch.testing.assert_close(found, one_by_one(*narrow), rtol=1e-6, atol=1e-6)


def test_bounds_are_made_once():
    where = segments(QUERIES)
    assert where.bounds is where.bounds
    assert where.bounds.tolist() == [0, 5, 8, 13, 14, 17, 22]
    assert where.bounds.dtype == torch.int32


def test_schema_of_the_kernels_is_the_one_that_is_called():
    """The stand-in cannot see a torch whose kernels take other arguments."""
    flash, efficient = (
        [a.name for a in getattr(torch.ops.aten, name).default._schema.arguments][:11]
        for name in ("_flash_attention_forward", "_efficient_attention_forward")
    )
    same = ["query", "key", "value"]
    lengths = ["max_q", "max_k", "dropout_p", "is_causal", "return_debug_mask"]
    assert flash[:10] == [*same, "cum_seq_q", "cum_seq_k", *lengths]
    lengths = ["cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k"]
    rest = ["dropout_p", "custom_mask_type", "compute_log_sumexp"]
    assert efficient == [*same, "bias", *lengths, *rest]


LOADS = """
import sys, torch
from bench3r.attention.segments import Segments, attend_segments
from bench3r.models.layers import SoftmaxCore, TokenLayout
one, other = (Segments(lengths, torch.device("cpu")) for lengths in ((2, 3), (4, 5)))
q, k, v = torch.rand(5, 1, 8), torch.rand(9, 1, 8), torch.rand(9, 1, 8)
with torch.inference_mode():
    attend_segments(SoftmaxCore(), q, k, v, one, other, layout=TokenLayout(1, 2, 1, 2, 2))
assert "torch._dynamo" not in sys.modules
"""


def test_attention_loads_no_compiler():
    """It would be part of the method's peak memory, 70 MB, and of its first call's time."""
    subprocess.run([sys.executable, "-c", LOADS], check=True)
