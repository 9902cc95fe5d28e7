"""That the stand-in sees what it is there to see.

Each planted fault is found, each figure is the one worked out by hand.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench3r.attention.softmax import attention_with_lse
from tests.helpers.gpu_free.device import PretendCuda
from tests.helpers.gpu_free.flex import undivided
from tests.helpers.gpu_free.flex_stand_in import FlexCall
from tests.helpers.gpu_free.tensors import GIB, DeviceMismatch, NoCudaKernel


@pytest.fixture
def gpu():
    with PretendCuda(values=True) as mode:
        yield mode


def bf16():
    return torch.autocast("cuda", torch.bfloat16)


def test_autocast_has_the_rules_of_cuda(gpu):
    x = torch.randn(2, 3, 8, device="cuda")
    with torch.inference_mode(), bf16():
        y = nn.Linear(8, 8).to("cuda")(x)
        kinds = [
            t.dtype
            for t in (
                y,
                F.layer_norm(y, (8,)),
                y.softmax(-1),
                y.sum(),
                torch.einsum("bij,bkj->bik", x, x),
                F.scaled_dot_product_attention(x, x, x),
                F.gelu(y),
                x + y,
            )
        ]
    low, full = torch.bfloat16, torch.float32
    assert kinds == [low, full, full, full, low, low, low, full]


def test_values_are_those_of_the_cpu(gpu):
    x = torch.randn(4, 5)
    assert torch.equal(
        (x.to("cuda") @ x.to("cuda").mT)[:, torch.tensor([1])].cpu(), (x @ x.mT)[:, [1]]
    )
    assert x.to("cuda").gt(0).nonzero().tolist() == x.gt(0).nonzero().tolist()


MIXED_DTYPES = {
    "index_copy": lambda low, full, where: low.index_copy(0, where, full),
    "index_put": lambda low, full, where: low.index_put((where,), full),
    "matmul": lambda low, full, where: low @ full,
}


@pytest.mark.parametrize("write", MIXED_DTYPES)
def test_mixed_dtypes_are_refused(gpu, write):
    low = torch.zeros(3, 3, dtype=torch.bfloat16, device="cuda")
    full = torch.ones(3, 3, device="cuda")
    where = torch.arange(3, device="cuda")
    with torch.inference_mode(), pytest.raises(RuntimeError, match="dtype"):
        MIXED_DTYPES[write](low, full, where)


MIXED_DEVICES = {
    "add": lambda x: x + torch.randn(3),
    "index_select": lambda x: x.index_select(0, torch.arange(2)),
    "cat": lambda x: torch.cat([x, torch.randn(1, 3)]),
    "generator": lambda x: torch.randn(3, device="cuda", generator=torch.Generator()),
    "kernel": lambda x: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        x[None, None], x[None, None], x[None, None]
    ),
}


@pytest.mark.parametrize("fault", MIXED_DEVICES)
def test_mixed_devices_are_refused(gpu, fault):
    x = torch.randn(3, 3, device="cuda")
    with torch.inference_mode(), pytest.raises((DeviceMismatch, NoCudaKernel)):
        MIXED_DEVICES[fault](x)


def test_what_a_gpu_allows_is_allowed(gpu):
    x = torch.randn(3, 3, device="cuda")
    assert (x + torch.tensor(1.0)).device.type == "cuda"  # a CPU scalar
    assert x[torch.tensor([0, 2])].shape == (2, 3)  # CPU indices
    assert torch.rand(2, device="cuda", generator=torch.Generator(device="cuda")).shape == (2,)
    with pytest.raises((TypeError, RuntimeError)):
        x.numpy()
    assert isinstance(x.cpu().numpy(), np.ndarray)


def test_moves_with_another_precision_work_in_inference_mode(gpu):
    with torch.inference_mode():
        moved = torch.eye(4, dtype=torch.float64).to("cuda", torch.float32)
    assert (moved.device.type, moved.dtype) == ("cuda", torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_fused_kernels_give_attention_and_its_normaliser(gpu, dtype):
    q, k, v = (torch.randn(1, 2, n, 16).to(dtype) for n in (9, 20, 20))
    with torch.inference_mode():
        out, lse = attention_with_lse(*(x.to("cuda") for x in (q, k, v)))
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    torch.testing.assert_close(out.cpu().float(), expected, rtol=2e-2, atol=2e-2)
    scores = q.float() @ k.float().mT / 4
    torch.testing.assert_close(lse.cpu(), scores.logsumexp(-1), rtol=1e-4, atol=1e-4)


def test_waits_are_counted(gpu):
    x = torch.randn(4, device="cuda")
    float(x.sum()), x[x > 0], x.nonzero(), x.cpu(), x.tolist()
    assert sum(gpu.waits.values()) == 5


def test_peak_memory_is_that_of_storages():
    with PretendCuda(values=False) as mode, torch.inference_mode():
        x = torch.randn(GIB // 4, device="cuda")  # 1 GiB
        y = x.view(2, -1)[0]  # nothing new
        z = x * 2
        del z
        z = y.to(torch.bfloat16)  # a quarter
        assert mode.memory.peak == 2 * GIB
        assert mode.memory.live == GIB + GIB // 4
        q = torch.empty(1, 16, 1 << 20, 64, dtype=torch.bfloat16, device="cuda")  # 2 GiB
        before = mode.memory.live
        mode.memory.reset()
        out = F.scaled_dot_product_attention(q, q, q)
        assert mode.memory.live - before == 2 * GIB
        assert (
            mode.memory.peak - before == 2 * GIB + 16 * (1 << 20) * 4
        )  # the output and one number a row
        del out, z


@pytest.mark.parametrize(("context", "kept"), [(torch.no_grad, 1), (torch.inference_mode, 0)])
def test_autocast_keeps_bf16_copies_of_weights_outside_inference_mode(context, kept):
    with PretendCuda(values=False) as mode:
        layer = nn.Linear(4096, 4096, bias=False).to("cuda")
        x, weight = torch.empty(1, 4096, device="cuda"), 4096 * 4096
        with context(), bf16():
            layer(x)
            assert abs(mode.memory.live - weight * (4 + 2 * kept)) < 1 << 20
        assert abs(mode.memory.live - weight * 4) < 1 << 20


def test_tiles():
    call = FlexCall(torch.bfloat16, 64, 4096, 4096, (128, 64), (), "here")
    assert "H100" in undivided(call)
    assert not undivided(FlexCall(torch.bfloat16, 64, 4096, 4096, (128, 128), (), "here"))
    fixed = FlexCall(
        torch.bfloat16, 64, 4096, 4096, (128, 64), (("BLOCK_M", 64), ("BLOCK_N", 64)), "here"
    )
    assert not undivided(fixed)
