"""Routers with other activations, losses and kinds, against computations of the tests' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench3r.api.errors import Bench3RError
from tests.helpers.golden_copy import Planted

CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def tensors(planted):
    """The inputs [...] in double precision under their names without ``in_``."""
    named = planted.arrays.items()
    return {k[3:]: torch.from_numpy(v).double() for k, v in named if k.startswith("in_")}


def block(x, t):
    """The files' block on the tokens ``x`` [n, D] of one sample."""
    weights = (x @ t["block_Wq"]) @ (x @ t["block_Wk"]).T / x.shape[-1] ** 0.5
    return x + weights.softmax(-1) @ x @ t["block_Wv"] + torch.tanh(x @ t["block_Wm"])


@pytest.mark.parametrize("router_func", [None, "none"])
def test_expert_choice_without_activation_scores_by_logits(tmp_path, router_func):
    planted = Planted("mor_ec_train", tmp_path)
    planted.set("parameters", router_func=router_func, alpha=None)
    t = tensors(planted)
    found = planted.computed()
    logits = (t["x"] @ t["r0_mor_router_router_weight"].T)[..., 0]
    np.testing.assert_allclose(found["mid_r0_gate"], logits, **CLOSE)  # all are kept at first
    hidden = torch.stack(
        [x + g[:, None] * block(x, t) for x, g in zip(t["x"], logits, strict=True)]
    )
    np.testing.assert_allclose(found["out_r0_hidden"], hidden, **CLOSE)
    # the official code compares the logit itself with one half here
    accuracy = (logits >= 0.5).double().mean()
    np.testing.assert_allclose(found["out_r0_aux_acc"], accuracy, **CLOSE)
    second = (hidden @ t["r1_mor_router_router_weight"].T)[..., 0]
    best = second.topk(16, 1).indices.sort(1).values
    np.testing.assert_array_equal(found["mid_r1_selected"], best)


@pytest.mark.parametrize("gating", [None, "none", "additive"])
def test_other_gating_adds_the_whole_block(tmp_path, gating):
    planted = Planted("mor_ec_eval", tmp_path).set("parameters", gating=gating)
    t = tensors(planted)
    hidden = torch.stack([x + block(x, t) for x in t["x"]])
    np.testing.assert_allclose(planted.computed()["out_r0_hidden"], hidden, **CLOSE)


def test_the_temperature_is_not_that_of_the_auxiliary_router(tmp_path):
    planted = Planted("mor_ec_train_auxrouter_mlp", tmp_path).set("parameters", temperature=4.0)
    t = tensors(planted)
    first, second = (t[f"r0_mlp_router_router_{i}_weight"] for i in (0, 2))
    logits = F.gelu(t["x"] @ first.T) @ second.T
    loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    found = planted.computed()
    np.testing.assert_allclose(found["out_r0_aux_loss"], loss, **CLOSE)
    first, second = (t[f"r0_mor_router_router_{i}_weight"] for i in (0, 2))
    logits = F.gelu(t["x"] / 4 @ first.T) @ second.T
    np.testing.assert_allclose(found["mid_r0_logits"], logits[..., 0], **CLOSE)


@pytest.mark.parametrize("sampling", [None, "none", "aux_loss"])
def test_the_loss_holds_the_terms_that_the_case_has(tmp_path, sampling):
    planted = Planted("mor_ec_train", tmp_path).set("parameters", sampling=sampling)
    planted.drop(*(f"out_r{r}_z_loss" for r in range(3)))
    found = planted.computed()
    last = torch.from_numpy(planted.arrays["out_r2_hidden"]).double()
    loss = (last * tensors(planted)["cotangent"]).sum() / 24
    if sampling == "aux_loss":
        loss = loss + 1000 * 0.001 * sum(planted.arrays[f"out_r{r}_aux_loss"] for r in range(3))
    np.testing.assert_allclose(found["out_loss"], loss, **CLOSE)
    assert ("out_r0_aux_loss" in found) == (sampling == "aux_loss")


def test_capacity_may_grow_only_while_tokens_are_alive(tmp_path):
    planted = Planted("mor_ec_eval", tmp_path).set("parameters", capacity=[0.25, 0.5, 0.5])
    with pytest.raises(Bench3RError, match="recursion 1 keeps 12 tokens, but 6 are alive"):
        planted.computed()


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_token_choice_without_activation_takes_the_softmax(tmp_path, alpha):
    planted = Planted("mor_tc_eval", tmp_path)
    planted.set("parameters", router_func=None, alpha=alpha, balancing=None)
    t = tensors(planted)
    probability = (t["x"] @ t["router_weight"].T).softmax(-1) * (alpha or 1)
    found = planted.computed()
    np.testing.assert_allclose(found["mid_probs"], probability, **CLOSE)
    np.testing.assert_array_equal(found["mid_depth"], probability.argmax(-1))


def test_token_choice_with_two_layers(tmp_path):
    planted = Planted("mor_tc_train", tmp_path).set("parameters", router_type="wide_mlp")
    random = np.random.default_rng(0)
    planted.drop("in_router_weight")
    planted.arrays["in_router_0_weight"] = random.normal(size=(32, 16)).astype(np.float32)
    planted.arrays["in_router_2_weight"] = random.normal(size=(3, 32)).astype(np.float32)
    t = tensors(planted)
    logits = F.gelu(t["x"] @ t["router_0_weight"].T) @ t["router_2_weight"].T
    found = planted.computed()
    np.testing.assert_allclose(found["mid_logits"], logits, **CLOSE)
    assert found["out_grad_router_0_weight"].shape == (32, 16)


def test_the_warm_up_sets_the_bias_back(tmp_path):
    planted = Planted("mor_tc_train_lossfree_sigmoid", tmp_path)
    planted.set("parameters", bal_warmup_step=5)
    found = planted.computed()
    assert (found["mid_depth"] == 2).all()
    np.testing.assert_allclose(found["out_router_bias_after"], [0.001, 0.001, -0.001], **CLOSE)
