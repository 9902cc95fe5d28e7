"""Which attention backend ran, as the profiler sees it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench3r.measure.kernels import attention_kernels, backends_in


def test_the_backend_that_ran_is_told_from_the_others():
    q, k, v = torch.rand(3, 1, 2, 16, 8)

    def attend() -> None:
        F.scaled_dot_product_attention(q, k, v)

    def plainly() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            F.scaled_dot_product_attention(q, k, v)

    with torch.inference_mode():
        assert attention_kernels(attend) == {"flash (CPU)": 1}
        assert attention_kernels(plainly) == {"math": 1}
        assert attention_kernels(lambda: q @ k.mT) == {}


def test_operators_of_a_gpu_by_backend():
    """What runs below a backend counts once; a direct call of it counts, too."""
    names = {
        "aten::scaled_dot_product_attention": 9,
        "aten::_scaled_dot_product_flash_attention": 3,
        "aten::_flash_attention_forward": 5,
        "aten::_scaled_dot_product_efficient_attention": 2,
        "aten::_efficient_attention_forward": 2,
        "aten::_scaled_dot_product_cudnn_attention": 4,
        "triton_tem_fused_flex_attention_0": 1,
        "aten::mm": 7,
    }
    expected = {"flash": 5, "memory-efficient": 2, "cudnn": 4, "flex": 1}
    assert backends_in(names) == expected
