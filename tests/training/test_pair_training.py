"""Training of pair networks: losses, bases, weights to start from."""

from __future__ import annotations

import math

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.models.backbones import build_backbone
from bench3r.models.pair.config import PairConfig, PairDPTConfig
from bench3r.models.pair.losses import confidence_loss, descriptor_loss, pair_losses
from bench3r.models.pair.network import PairNetwork, PairOutput
from bench3r.models.weights import read_state_dict, resolve_base
from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig
from bench3r.training.initialisation import initialise
from bench3r.training.samples import BatchStream, ProceduralSource
from bench3r.training.trainer import Trainer
from bench3r.training.transfer import start_from
from tests.helpers.pairs import features


def batches(seed=3, queries=40, views=2):
    source = ProceduralSource((64, 64), 4)
    return iter(
        BatchStream(
            source,
            4,
            view_counts=(views,),
            heights=(48,),
            queries=queries,
            reuse=4,
            seed=seed,
            buffer=2,
        )
    )


def small(descriptors=0):
    torch.manual_seed(0)
    model = PairNetwork(
        PairConfig(
            patch_size=8,
            enc_embed_dim=48,
            enc_depth=1,
            enc_num_heads=3,
            dec_embed_dim=48,
            dec_depth=4,
            dec_num_heads=3,
            dpt=PairDPTConfig(features=16, out_channels=(16, 16, 16, 16)),
            descriptors=descriptors,
        )
    )
    initialise(model)
    return model


def test_confidence_loss_is_least_at_the_ground_truth_in_any_scale():
    batch = next(batches())
    true = batch.points
    conf = torch.full(batch.depth.shape[:1] + batch.depth.shape[2:], 2.0)
    exact = confidence_loss(PairOutput(3 * true[:, 0], conf, 3 * true[:, 1], conf), batch)
    assert float(exact) == pytest.approx(2 * -0.2 * math.log(2), abs=1e-3)
    wrong = confidence_loss(PairOutput(true[:, 0], conf, true[:, 1] + 0.1, conf), batch)
    assert wrong > exact + 0.2


def test_descriptor_loss_rewards_matching_features():
    batch = next(batches(queries=60))
    b, _, h, w = batch.depth.shape
    conf = torch.full((b, h, w), 2.0)
    points = torch.zeros(b, h, w, 3)
    random = torch.stack([features(h, w, n) for n in range(b)])
    found = []
    for matched in (False, True):
        second = torch.stack([features(h, w, 50 + n) for n in range(b)])
        if matched:
            for n in range(b):
                seen = batch.visible[n, 1] & batch.tracked[n, 1]
                one, two = (
                    xy.round().long() for xy in (batch.queries[n, seen], batch.tracks[n, 1, seen])
                )
                two = torch.minimum(two.clamp(min=0), torch.tensor([w - 1, h - 1]))
                second[n, two[:, 1], two[:, 0]] = random[n, one[:, 1], one[:, 0]]
        out = PairOutput(points, conf, points, conf)
        out.desc1 = random
        out.desc2 = second
        out.desc_conf1 = conf
        out.desc_conf2 = conf
        found.append(float(descriptor_loss(out, batch)))
    assert found[1] < found[0] - 1


@pytest.mark.parametrize("descriptors", [0, 8])
def test_pair_networks_learn(tmp_path, descriptors):
    """The loss on a fixed batch falls; every part that is weighed takes part."""
    model = small(descriptors)
    weights = {"point": 1.0, "matching": 0.5} | ({"descriptor": 0.075} if descriptors else {})
    batch = next(batches())
    config = TrainConfig(
        steps=12,
        lr=3e-3,
        warmup=2,
        view_counts=(2,),
        loss_weights=weights,
        workers=0,
        log_every=1,
        ema=0.5,
    )
    before = {k: float(v.detach()) for k, v in pair_losses(model, batch, weights).items()}
    trainer = Trainer(model, config, tmp_path, lambda seen: iter(lambda: batch, None))
    trainer.run()
    after = {k: float(v.detach()) for k, v in pair_losses(model, batch, weights).items()}
    assert set(after) == set(weights)
    assert after["point"] < before["point"]
    assert (tmp_path / "curve.csv").read_text().count("\n") == 13
    three = next(batches(seed=0, queries=4, views=3))
    with pytest.raises(ValueError, match="view_counts"):
        pair_losses(model, three, weights)


def test_bases_of_pairs_train_on_two_views(tmp_path):
    """Settings made for backbones, with more views and their losses, train pair networks too."""
    config = TrainConfig(
        steps=1, frames_per_batch=4, view_counts=(4,), heights=(48,), width=64, queries=8
    )
    trainer = train_base("mast3r", "tiny", config, tmp_path)
    assert trainer.step == 1
    assert trainer.scenes == 2


def test_training_starts_from_vggt_and_mast3r_from_dust3r():
    vggt = read_state_dict(resolve_base("shipped", "vggt", "tiny", None))
    dust3r, mast3r = build_backbone("dust3r", "tiny"), build_backbone("mast3r", "tiny")
    assert start_from(dust3r, "vggt", vggt) > 150
    fc1 = vggt["aggregator.global_blocks.2.mlp.fc1.weight"].float()
    torch.testing.assert_close(dust3r.dec_blocks2[2].mlp.fc1.weight, fc1)
    images = torch.rand(2, 3, 16, 16)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    kernel, bias = (
        vggt[f"aggregator.patch_embed.patch_embed.proj.{n}"].float() for n in ("weight", "bias")
    )
    expected = torch.nn.functional.conv2d((images - mean) / std, kernel, bias, 8).flatten(2).mT
    torch.testing.assert_close(dust3r.patch_embed(2 * images - 1), expected, rtol=1e-3, atol=1e-3)
    assert start_from(mast3r, "dust3r", dust3r.state_dict()) == len(dust3r.state_dict())
    with pytest.raises(Bench3RError, match="nothing of the weights of dust3r fits a dust3r"):
        start_from(dust3r, "dust3r", mast3r.state_dict())
