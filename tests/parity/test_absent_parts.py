"""Null and other official values, against computations of the tests' own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench3r.api.errors import Bench3RError
from bench3r.parity.checks._attention import norm_eps, rope_frequency
from bench3r.parity.checks.depth_anything_3 import overridden
from tests.helpers.golden_copy import Planted

NORMS = [f"in_{side}_norm_{part}" for side in "qk" for part in ("weight", "bias")]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def tensor(planted, name):
    """An array [...] of the file in double precision."""
    return torch.from_numpy(planted.arrays[name]).double()


def projected(planted, heads, norm=True, frequency=None):
    """Queries, keys and values [h, N, d] of the first sample, rotated as complex numbers."""
    x = tensor(planted, "in_x")[0]
    qkv = x @ tensor(planted, "in_qkv_weight").T + tensor(planted, "in_qkv_bias")
    q, k, v = qkv.reshape(len(x), 3, heads, -1).permute(1, 2, 0, 3)
    if norm:
        parts = [[tensor(planted, f"in_{s}_norm_{p}") for p in ("weight", "bias")] for s in "qk"]
        q = F.layer_norm(q, q.shape[-1:], *parts[0])
        k = F.layer_norm(k, k.shape[-1:], *parts[1])
    if frequency is not None:
        positions = torch.from_numpy(planted.arrays["in_pos"])[0]
        q = rotated(q, positions, frequency)
        k = rotated(k, positions, frequency)
    return q, k, v


def rotated(x, positions, frequency):
    """``x`` [h, N, d]: the first half of the channels turned by the row, the second by the column.

    Channel i of a half is the real part, channel i + d/4 the imaginary part.
    """
    quarter = x.shape[-1] // 4
    speed = frequency ** (-torch.arange(quarter).double() / quarter)
    halves = []
    for axis, half in enumerate(x.chunk(2, -1)):
        turn = torch.polar(torch.ones(()).double(), positions[:, axis, None] * speed)
        number = torch.complex(half[..., :quarter], half[..., quarter:]) * turn
        halves += [number.real, number.imag]
    return torch.cat(halves, -1)


def of_patches(x, frames, special):
    """The patches [h, P, d] of tokens ``x`` [h, N, d]."""
    return x.unflatten(1, (frames, -1))[:, :, special:].flatten(1, 2)


def pooled_attention(q, k, pool):
    """The estimate [h, Bq, Bk] by the pooling of torch itself."""
    queries = pool(q.mT, 128, ceil_mode=True).mT
    keys = pool(k.mT, 64, ceil_mode=True).mT
    return (queries @ keys.mT / math.sqrt(q.shape[-1])).softmax(-1)


@pytest.mark.parametrize("case", ["sparse_vggt_cdf_only", "sparse_vggt_ratio_only"])
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("rope", [None, 100, "RoPE 2D, frequency 50"])
def test_block_sparse_pools_and_rotates_as_told(tmp_path, case, mode, rope):
    planted = Planted(case, tmp_path).set("parameters", pool_mode=mode, rope=rope)
    p = planted.raw["parameters"]
    frequency = 50.0 if isinstance(rope, str) else rope
    q, k, v = projected(planted, p["heads"], frequency=frequency)
    patches = [of_patches(t, p["frames"], p["special_tokens"]) for t in (q, k)]
    pool = F.avg_pool1d if mode == "avg" else F.max_pool1d
    probability = pooled_attention(*patches, pool)
    found = planted.computed()
    np.testing.assert_allclose(found["mid_pooled_prob"][0], probability, **CLOSE)
    count = _counts(probability, p)
    np.testing.assert_array_equal(found["mid_num_selected"][0], count)
    of_special = F.scaled_dot_product_attention(q[:, : p["special_tokens"]], k, v)
    y = of_special.transpose(0, 1).flatten(1) @ tensor(planted, "in_proj_weight").T
    y = y + tensor(planted, "in_proj_bias")
    np.testing.assert_allclose(found["out_y"][0, : len(y)], y, **CLOSE)


def _counts(probability, p):
    falling = probability.sort(-1, descending=True).values
    count = torch.ones(probability.shape[:2], dtype=torch.long)
    if p["cdf_threshold"] is not None:
        count = (falling.cumsum(-1) <= p["cdf_threshold"] + 1e-5).sum(-1).clamp(min=1)
    if p["sparse_ratio"] is not None:
        count = count.clamp(min=int(probability.shape[-1] * (1 - p["sparse_ratio"])))
    return count


def test_the_modes_of_pooling_choose_differently(tmp_path):
    found = []
    for mode in ("avg", "max"):
        planted = Planted("sparse_vggt_ratio_only", tmp_path).set("parameters", pool_mode=mode)
        found.append(planted.computed()["mid_block_mask"])
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("frequency", [None, 0, 30.0])
@pytest.mark.parametrize("norm", [True, False])
def test_merging_without_norms_or_rotation(tmp_path, frequency, norm):
    planted = Planted("fastvggt_odd_grid", tmp_path)
    planted.set("parameters", rope_frequency=frequency)
    heads = planted.raw["parameters"]["heads"]
    expected = projected(planted, heads, norm, frequency or None)
    if not norm:
        planted.set("parameters", qk_norm=None).drop(*NORMS)
    found = planted.computed()
    for name, value in zip("qkv", expected, strict=True):
        flat = value.transpose(0, 1).flatten(1)
        np.testing.assert_allclose(found[f"mid_{name}"][0], flat, **CLOSE)


def test_merging_nothing_is_dense_attention(tmp_path):
    planted = Planted("fastvggt_even_grid", tmp_path).set("parameters", r=0)
    q, k, v = projected(planted, planted.raw["parameters"]["heads"], frequency=100.0)
    y = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
    y = y @ tensor(planted, "in_proj_weight").T + tensor(planted, "in_proj_bias")
    np.testing.assert_allclose(planted.computed()["out_y"][0], y, **CLOSE)


@pytest.mark.parametrize("mentioned", [True, False])
def test_sparse_linear_without_norms(tmp_path, mentioned):
    planted = Planted("lite3r_sla_token_train", tmp_path).drop(*NORMS)
    planted.set("parameters", qk_norm=None, keep_ratio=None, kept_keys=None)
    p = planted.raw["parameters"]
    if not mentioned:
        del p["qk_norm"]
    q, k, v = projected(planted, p["heads"], norm=False)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    least = scores.topk(int(0.2 * len(scores[0])), -1).values[..., -1:]  # 0.2: official default
    sparse = scores.masked_fill(scores < least, -math.inf).softmax(-1) @ v
    features = [F.elu(t) + 1 for t in (q, k)]
    weights = features[0] @ features[1].mT
    linear = weights @ v / (weights.sum(-1, keepdim=True) + 1e-6)
    mixed = sparse + linear @ tensor(planted, "in_proj_lin_weight").T
    y = mixed.transpose(0, 1).flatten(1) @ tensor(planted, "in_proj_weight").T
    y = y + tensor(planted, "in_proj_bias")
    np.testing.assert_allclose(planted.computed()["out_y"][0], y, **CLOSE)


def test_weights_of_a_norm_that_is_excluded_are_refused(tmp_path):
    planted = Planted("lite3r_sla_token_train", tmp_path).set("parameters", qk_norm=None)
    with pytest.raises(Bench3RError, match="qk_norm is null, but the file holds weights"):
        planted.computed()


def test_a_norm_without_weights_is_refused(tmp_path):
    planted = Planted("lite3r_sla_token_train", tmp_path).drop(*NORMS)
    with pytest.raises(Bench3RError, match="lacks the array in_q_norm_weight"):
        planted.computed()


def test_a_linear_layer_without_bias(tmp_path):
    planted = Planted("lite3r_fp8_weight_only", tmp_path).drop("in_bias")
    planted.set("parameters", bias=None)
    found = planted.computed()
    y = planted.arrays["in_x"] @ found["out_w_dequant"].T
    np.testing.assert_allclose(found["out_y"], y, **CLOSE)
    assert "out_grad_bias" not in found


def test_weights_of_the_newton_schulz_steps_are_read(tmp_path):
    planted = Planted("lact_ns_tall", tmp_path)
    planted.set("parameters", coefficients=[1.5, -0.5, 0.0], steps=40)
    # the plain cubic iteration converges to the orthogonal factor
    u, _, v = np.linalg.svd(planted.arrays["in_G"].astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(planted.computed()["out_X_fp32"], u @ v, atol=1e-3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (-1, None), (100, 100.0), ("RoPE100", 100.0), ("RoPE 2D, frequency 30", 30.0)],
)
def test_words_for_a_rotary_position(value, expected):
    assert rope_frequency(value) == expected


@pytest.mark.parametrize("value", ["cosine", True, [100]])
def test_other_words_for_a_position_are_refused(value):
    with pytest.raises(ValueError, match="expected null, a number"):
        rope_frequency(value)


def test_words_for_a_norm():
    assert norm_eps("LayerNorm eps 1e-5 per head") == 1e-5
    assert norm_eps("LayerNorm eps 1e-6") == 1e-6
    assert norm_eps(None) is norm_eps(False) is None
    with pytest.raises(ValueError, match="expected null"):
        norm_eps("RMSNorm eps 1e-5")


def test_overrides_go_to_their_places():
    config = {"net": {"name": "vits", "alt_start": 4}, "head": {"features": 64}}
    changed = overridden(config, {"net": {"alt_start": 6}, "head.features": 32})
    assert changed == {"net": {"name": "vits", "alt_start": 6}, "head": {"features": 32}}
