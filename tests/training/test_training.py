"""Training learns, survives kill -9, and runs in several processes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, BuildContext
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.files import digest, file_digest, read_json
from bench3r.metrics.pose import relative_pose_errors
from bench3r.models.backbones import build_backbone, build_predictor
from bench3r.models.geometry import camera_points, rigid_inverse
from bench3r.models.losses import Batch, normalise
from bench3r.models.matching import matching_loss, patch_targets, record_middle
from bench3r.models.pi3.losses import pi3_losses
from bench3r.models.pi3.network import nearest_rotation
from bench3r.models.vggt.config import VGGT_SCALES
from bench3r.models.vggt.losses import vggt_losses
from bench3r.models.vggt.network import VGGT
from bench3r.models.weights import SHIPPED, read_state_dict, resolve_base
from bench3r.run.records import TrainRecord
from bench3r.stages.train import export_trained, finetune, train_base
from bench3r.training.config import FinetuneConfig, TrainConfig, TrainData
from bench3r.training.initialisation import initialise
from bench3r.training.optimisation import learning_rate, parameter_groups
from bench3r.training.samples import BatchStream, DatasetSource, ProceduralSource
from bench3r.training.step import TrainStep
from bench3r.training.trainer import Trainer
from tests.conftest import ROOT
from tests.helpers.layouts.objects import megadepth
from tests.helpers.layouts.scannet import scannet

QUICK = {
    "frames_per_batch": 4,
    "view_counts": (2,),
    "heights": (96,),
    "reuse": 8,
    "queries": 8,
    "warmup": 2,
}


def stream(frames: int, views: int, buffer: int = 1, side: int = 96):
    source = ProceduralSource((side, side), views, samples=1)
    return iter(BatchStream(source, frames, (views,), (side,), 16, 1000, 0, buffer=buffer))


def test_one_batch_can_be_overfitted_pose_included(tiny):
    """Two scenes of two views, by heart: depth and points fall to a fraction, and the pose becomes
    the true one.
    """
    batch = next(stream(4, 2, buffer=2, side=48))
    step = TrainStep(tiny.train(), TrainConfig())
    optimiser = torch.optim.AdamW(parameter_groups(tiny, 0.0), betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=180, pct_start=0.1)
    before, history = pose_errors(tiny, batch), []
    for _ in range(180):
        parts = step(batch, torch.arange(2))
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(tiny.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    rotation, translation = pose_errors(tiny, batch)
    assert rotation < 5 < 0.1 * before[0]
    assert translation < 10 < before[1]
    assert history[-1]["depth"] < 0.35 * history[0]["depth"]
    assert history[-1]["point"] < 0.35 * history[0]["point"]
    assert history[-1]["track"] < 0.7 * history[0]["track"]


def pose_errors(model: VGGT, batch: Batch) -> tuple[float, float]:
    """Mean rotation and translation-direction errors (degrees) of the second views."""
    with torch.no_grad():
        predicted = model(batch.images).extrinsics.double().numpy()
    truth = batch.extrinsics.double().numpy()
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(truth), 2, 1, 4))
    errors = [
        relative_pose_errors(*pair)
        for pair in zip(*(np.concatenate([e, bottom], 2) for e in (predicted, truth)), strict=True)
    ]
    return float(np.mean([r for r, _ in errors])), float(np.mean([t for _, t in errors]))


def test_the_loss_of_the_truth_is_the_confidence_term_alone(tiny):
    from bench3r.api.reconstruction import Reconstruction
    from bench3r.models.geometry import encode_pose

    batch = next(stream(3, 3))
    truth = encode_pose(batch.extrinsics, batch.intrinsics, (96, 96))
    conf = torch.ones_like(batch.depth)
    perfect = Reconstruction(
        batch.extrinsics,
        batch.intrinsics,
        batch.depth,
        conf,
        batch.points,
        conf,
        extras={"pose_encodings": [truth]},
    )
    parts = vggt_losses(perfect, batch, torch.arange(3))
    assert all(abs(float(v)) < 1e-6 for v in parts.values())


def test_scenes_without_depth_are_refused():
    eye = torch.eye(4)[None, None, :3]
    with pytest.raises(ValueError, match="no pixel with valid depth"):
        normalise(torch.zeros(1, 1, 4, 4), eye, torch.eye(3)[None, None])


def test_learning_rate_warms_up_and_falls():
    config = TrainConfig(steps=100, warmup=10, lr=1.0, final_lr=0.01)
    rates = [learning_rate(s, config) for s in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from bench3r.models.weights import SHIPPED, read_state_dict, resolve_base
from bench3r.stages.train import export_trained, finetune, train_base
from bench3r.training.config import FinetuneConfig, TrainConfig
if __name__ == "__main__":
    config = TrainConfig(steps={steps}, checkpoint_every=4, log_every=1, **{quick})
    trainer = train_base("vggt", "tiny", config, Path(sys.argv[1]))
    print("steps", trainer.step)
"""


def test_training_resumes_after_kill_9(tmp_path):
    script = tmp_path / "go.py"
    script.write_text(SCRIPT.format(steps=10_000, quick=QUICK))
    run = subprocess.Popen(
        [sys.executable, script, tmp_path / "run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    curve, checkpoint = tmp_path / "run/curve.csv", tmp_path / "run/checkpoint.pt"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        checkpoint.exists() and curve.read_text().count("\n") > 7
    ):
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    steps = [int(r["step"]) for r in csv.DictReader(curve.open())]
    saved = torch.load(checkpoint, weights_only=True)["step"]
    assert saved >= 4
    assert steps[-1] - saved <= 4  # nothing older than one checkpoint interval is lost
    config = TrainConfig(steps=saved + 2, checkpoint_every=4, log_every=1, **QUICK)
    trainer = train_base("vggt", "tiny", config, tmp_path / "run")
    assert trainer.step == saved + 2
    steps = [int(r["step"]) for r in csv.DictReader(curve.open())]
    assert steps == list(
        range(1, saved + 3)
    )  # every step once: rows after the checkpoint were dropped


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_gloo_processes_stay_equal_and_resume(tmp_path, sharding):
    script = tmp_path / "go.py"
    for steps in (2, 3):
        script.write_text(SCRIPT.format(steps=steps, quick={**QUICK, "sharding": sharding}) + CHECK)
        run_twice(script, tmp_path)
        assert torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["step"] == steps


def run_twice(script: Path, tmp_path: Path) -> None:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    command = [
        torchrun,
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("equal weights") == 2


CHECK = """
    import torch.distributed as dist
    whole = [p.full_tensor() if trainer.sharded else p for p in trainer.model.parameters()]
    mine = torch.cat([p.detach().flatten() for p in whole])
    other = [torch.zeros_like(mine) for _ in range(2)]
    dist.all_gather(other, mine)
    assert torch.equal(other[0], other[1])
    if trainer.sharded:
        assert sum(p.to_local().numel() for p in trainer.model.parameters()) < 0.7 * mine.numel()
    print("equal weights")
    dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    "settings", [{"activation_checkpointing": True}, {"precision": "bf16"}, {"accumulate": 2}]
)
def test_settings_for_large_scales_train(tmp_path, settings):
    torch.manual_seed(0)
    model = VGGT(VGGT_SCALES["tiny"]())
    initialise(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    config = TrainConfig(steps=2, **QUICK, **settings)
    trainer = Trainer(model, config, tmp_path, lambda first: stream(4, 2))
    trainer.run()
    after = trainer.model.state_dict()
    assert after.keys() == before.keys()  # checkpointing blocks must not rename parameters
    moved = [k for k in before if not torch.equal(before[k], after[k])]
    assert len(moved) > 100


def test_checkpointing_does_not_change_gradients(tiny):
    from bench3r.training.trainer import checkpoint_blocks

    batch = next(stream(4, 2))
    gradients = []
    for wrap in (False, True):
        if wrap:
            checkpoint_blocks(tiny)
        tiny.zero_grad()
        TrainStep(tiny.train(), TrainConfig())(batch, torch.arange(2))["total"].backward()
        gradients.append([p.grad.clone() for p in tiny.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_checkpoint(tmp_path, tiny):
    config = TrainConfig(steps=5, **QUICK)
    batch = next(stream(4, 2))
    batch.depth = batch.depth * float("nan")
    batch.points = batch.points * float("nan")
    batch.images = batch.images * float("nan")
    trainer = Trainer(tiny, config, tmp_path, lambda first: iter([batch] * 5))
    with pytest.raises(FloatingPointError, match="loss is nan"):
        trainer.run()
    assert not (tmp_path / "checkpoint.pt").exists()


def plane_batch(shift_patches: float) -> Batch:
    """Two views of a wall at depth 2; the second camera is moved right by so many 8-px patches."""
    side, depth, focal = 48, 2.0, 60.0
    k = torch.tensor([[focal, 0, 23.5], [0, focal, 23.5], [0, 0, 1]]).expand(1, 2, 3, 3)
    extrinsics = torch.eye(4)[:3].repeat(1, 2, 1, 1)
    extrinsics[0, 1, 0, 3] = -shift_patches * 8 * depth / focal
    maps = torch.full((1, 2, side, side), depth)
    empty = torch.zeros(1, 2, 1, 2)
    images = torch.rand(1, 2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(
        images,
        maps,
        extrinsics,
        k,
        torch.zeros(1, 2, side, side, 3),
        empty[:, 0],
        empty,
        empty[..., 0] > 0,
        empty[..., 0] > 0,
    )


def test_patch_targets_point_at_the_same_surface():
    weights, seen = patch_targets(plane_batch(1.0), (6, 6))
    first_to_second = weights[0, 0, :, 1]  # [P, P]
    patches = torch.arange(36)
    inner = patches[patches % 6 > 0]
    assert (first_to_second[inner].argmax(-1) == inner - 1).all()
    assert not seen[0, 0, patches % 6 == 0, 1].any()  # they left the image
    assert not seen[0, 0, :, 0].any()
    assert float(weights[0, 0, :, 0].abs().max()) == 0
    torch.testing.assert_close(
        first_to_second[inner].sum(-1), torch.ones(len(inner)), atol=0.02, rtol=0
    )


def test_guidance_teaches_attention_where_to_look(tiny):
    """A few steps on the guidance alone bring the guided heads' cross-entropy down."""
    batch = next(stream(4, 2, buffer=2, side=48))
    cores = record_middle(tiny.train())
    assert len(cores) == 2
    optimiser = torch.optim.Adam(tiny.aggregator.parameters(), 2e-3)
    history = []
    for _ in range(25):
        layout = tiny.run_trunk(batch.images)[1]
        loss = matching_loss(cores, layout, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.8 * history[0]
    assert history[0] < 1.2 * np.log(
        2 * 41
    )  # about uniform over two views of 36 patches and 5 special tokens


@pytest.mark.parametrize("name", ["pi3", "depth_anything_3"])
def test_the_other_backbones_learn_one_batch(name):
    """Their own losses fall, the pose included, and a perfect answer of pi3 costs nothing but
    confidence.
    """
    torch.manual_seed(0)
    model = build_backbone(name, "tiny").train()
    initialise(model)
    batch = next(stream(4, 2, buffer=2, side=48))
    step = TrainStep(model, TrainConfig())
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.0), 1e-3, betas=(0.9, 0.95))
    history = []
    for _ in range(60):
        parts = step(batch, torch.arange(2))
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    assert history[-1]["total"] < 0.6 * history[0]["total"]
    assert history[-1]["point"] < 0.7 * history[0]["point"]
    assert history[-1]["camera"] < history[0]["camera"]


def test_pi3_loss_is_zero_for_the_truth_in_any_frame_and_scale():
    batch = next(stream(6, 3, side=48))
    local = 1.7 * camera_points(batch.depth, batch.intrinsics)  # another scale
    w2c = torch.cat(
        [batch.extrinsics, torch.tensor([0.0, 0, 0, 1]).expand(*batch.extrinsics.shape[:2], 1, 4)],
        2,
    )
    poses = rigid_inverse(w2c)
    poses[..., :3, 3] *= 1.7
    turn = torch.eye(4)
    turn[:3, :3] = nearest_rotation(torch.randn(3, 3))
    turn[:3, 3] = torch.tensor([3.0, -1, 2])  # another world frame
    logits = torch.where(batch.depth > 0, 9.0, -9.0)
    out = Reconstruction(batch.extrinsics, batch.intrinsics, batch.depth, batch.depth)
    out.extras = {"local_points": local, "conf_logits": logits, "camera_poses": turn @ poses}
    parts = pi3_losses(out, batch, torch.arange(3))
    assert max(float(v) for v in parts.values()) < 5e-3, parts


def test_distillation_trains_only_what_the_method_adds(tmp_path):
    cls = METHODS.get("lite3r")
    method = cls(cls.Options(block=16, variant="sla_block_fp8"))
    base = resolve_base("shipped", "vggt", "tiny", None)
    config = FinetuneConfig(
        steps=12, lr=5e-3, warmup=1, frames_per_batch=4, view_counts=(2,), log_every=1, ema=0.0
    )
    trainer = finetune(method, BuildContext("vggt", "tiny", weights=base), config, tmp_path / "t")
    rows = list(csv.DictReader((tmp_path / "t" / "curve.csv").open()))
    assert float(rows[-1]["distillation"]) < float(rows[0]["distillation"])
    trained = {n for n, p in trainer.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".core.proj_lin." in n for n in trained)
    export_trained(trainer, tmp_path / "w.safetensors", TrainRecord(method="lite3r"))
    state = read_state_dict(tmp_path / "w.safetensors")
    assert set(state) == trained
    assert (
        len(trainer.inner.teacher.loss.by_layer) == 13
    )  # 3 encoder, 4 frame, 4 global, 2 camera head
    predictor = build_predictor(
        method, BuildContext("vggt", "tiny", weights=base, fitted=tmp_path / "w.safetensors")
    )
    assert predictor.deployed["weight_storage"] == "fp8_e4m3"
    assert "read back from FP8 codes" in predictor.deployed["emulated"]


def test_shipped_parts_fit_their_method_and_base():
    found = sorted(SHIPPED.glob("*-vggt-tiny-*.safetensors"))
    assert {p.name.split("-")[0] for p in found} == {"lite3r", "vgg_t3"}
    base = resolve_base("shipped", "vggt", "tiny", None)
    for path in found:
        record = read_json(path.with_suffix(".json"))
        assert path.stem.endswith(digest(record["options"])[:8])
        assert record["base_weights"] == file_digest(base)
        cls = METHODS.get(record["method"])
        build_predictor(
            cls(cls.Options(**record["options"])),
            BuildContext("vggt", "tiny", weights=base, fitted=path),
        )


def test_training_on_real_layouts(tmp_path):
    """Scenes of two datasets in turn, squares with their intrinsics, broken frames passed over.

    A step runs.
    """
    roots = {"scannet": tmp_path / "scannet", "megadepth": tmp_path / "megadepth"}
    for name, write in (("scannet", scannet), ("megadepth", megadepth)):
        roots[name].mkdir()
        write(roots[name])
    data = {name: TrainData(root=str(root)) for name, root in roots.items()}
    source = DatasetSource(data, 48, views=4)
    scenes = [source(i) for i in range(6)]
    np.testing.assert_array_equal(
        source(2).images, DatasetSource(data, 48, views=4)(2).images
    )  # the same again
    for views in scenes:
        assert views.images.shape == (4, 48, 48, 3)
        assert (views.depth > 0).mean() > 0.8
        frames = [
            Frame(*v)
            for v in zip(views.images, views.intrinsics, views.c2w, views.depth, strict=True)
        ]
        assert reprojection.check(frames, "square").median < 0.01
    (roots["scannet"] / "scene9000_00" / "color" / "1.jpg").write_bytes(b"broken")
    assert all(source(i).images.any() for i in range(4))
    config = TrainConfig(
        steps=1,
        data=data,
        width=48,
        heights=(48,),
        frames_per_batch=4,
        view_counts=(2,),
        workers=0,
        queries=4,
    )
    trainer = train_base("vggt", "tiny", config, tmp_path / "run")
    assert trainer.step == 1
    with pytest.raises(Bench3RError, match=r"scannet: data root .* is missing"):
        DatasetSource({"scannet": TrainData(root=str(tmp_path / "nothing"))}, 48)(0)
