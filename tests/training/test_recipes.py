"""Recipes by method, and what training at full size sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from bench3r.api.errors import Bench3RError
from bench3r.attention.float8 import StoredLinear
from bench3r.run.config import RunConfig, load_config, parse_config
from bench3r.run.datasets import plan_dataset
from bench3r.run.plan import Plan, TrainEntry
from bench3r.run.planner import make_plan
from bench3r.run.workflow import WorkflowPlan
from bench3r.stages.train import FIT_FRAMES, Training, real_fit_scenes, views_per_scene
from bench3r.training.config import TrainConfig, TrainData
from tests.conftest import ROOT
from tests.helpers.changed import method
from tests.helpers.configs import changed
from tests.helpers.layouts.scannet import SCENE, scannet

FULL = {"scale": "full", "base": "weights/model.safetensors"}


def config_of(**changes) -> RunConfig:
    return parse_config(changed(**changes), "t")


def test_a_method_may_be_fine_tuned_by_its_own_recipe():
    recipes = {"mor": {"lr": 0.1}}
    methods = {"vggt": {}, "mor": {}, "spatial_mor": {}}
    config = config_of(methods=methods, finetune={"steps": 7}, finetune_by_method=recipes)
    assert (config.finetune_of("mor").lr, config.finetune_of("mor").steps) == (0.1, 7)
    assert config.finetune_of("spatial_mor") == config.finetune
    assert parse_config(config.model_dump(mode="json"), "t") == config
    with pytest.raises(Bench3RError, match=r"finetune_by_method\.mor\.lrr.*did you mean 'lr'"):
        config_of(finetune_by_method={"mor": {"lrr": 0.1}})
    with pytest.raises(Bench3RError, match="finetune_by_method"):
        make_plan(config_of(finetune_by_method={"moor": {}}))


def test_published_weights_meet_procedural_scenes_only_when_asked():
    settings = TrainConfig()
    assert config_of().training_data(settings, "vggt") == {}  # own weights
    config = config_of(**FULL)
    with pytest.raises(Bench3RError, match=r"published weights of vggt.*finetune\.data"):
        config.training_data(settings, "vggt")
    with pytest.raises(Bench3RError, match="published weights"):
        make_plan(config_of(**FULL, methods={"mor": {}}))
    assert config.training_data(TrainConfig(data="procedural"), "vggt") == {}
    real = config_of(**FULL, datasets={"scannet": {"root": "data/scannet"}})
    assert real.training_data(settings, "vggt") == {"scannet": TrainData(root="data/scannet")}
    named = TrainConfig(data={"scannet": TrainData(), "blendedmvs": TrainData()})
    with pytest.raises(Bench3RError, match="blendedmvs need a root"):
        real.training_data(named, "vggt")


def training(tmp_path: Path, scenes: list[str]) -> Training:
    """Of a run at full size that tests these ``scenes`` of two rooms, one of which has two scans."""
    scannet(tmp_path)
    for other in ("scene9000_01", "scene9001_00"):
        shutil.copytree(tmp_path / SCENE, tmp_path / other)
    config = config_of(**FULL, datasets={"scannet": {"root": str(tmp_path), "scenes": scenes}})
    entry = TrainEntry(
        id="t", key="", options={}, backbone="vggt", scale="full", base=None, method="mor", seed=0
    )
    tested = plan_dataset("scannet", config.datasets["scannet"], config.frames)
    return Training(entry, config, tmp_path / "out.safetensors", 1.0, (tested,))


def test_rooms_that_are_tested_are_never_trained_on(tmp_path):
    found = training(tmp_path, [SCENE]).data(TrainConfig())
    assert found["scannet"].leave_out == (SCENE,)
    scenes = list(real_fit_scenes(found, 2, (48, 64), 3))
    assert [scene.images.shape for scene in scenes] == [(3, 48, 64, 3)] * 2


def test_a_run_that_tests_everything_says_what_to_do(tmp_path):
    everything = training(tmp_path, [SCENE, "scene9001_00"])
    with pytest.raises(Bench3RError, match=r"tests on every scene.*finetune\.data"):
        everything.data(TrainConfig())


def test_training_in_another_number_of_processes_is_refused(tmp_path):
    with pytest.raises(Bench3RError, match=r"gpus is 2, but 1 processes.*--nproc-per-node 2"):
        training(tmp_path, [SCENE]).settings(TrainConfig(gpus=2))


@pytest.fixture(scope="module")
def full() -> Plan:
    return make_plan(load_config(ROOT / "config" / "full.yaml"))


def test_the_full_run_trains_as_published(full):
    lite3r = full.config.finetune_of("lite3r")
    assert (lite3r.lr, lite3r.view_counts, lite3r.heights) == (1e-3, (2,), (518,))
    assert lite3r.loss_weights == {"camera": 1.0, "depth": 1.0}
    memory = full.config.finetune_of("vgg_t3")
    assert (memory.lr, memory.steps, memory.view_counts) == (1e-4, 100_000, tuple(range(2, 25)))
    assert views_per_scene(memory) == 24
    assert method("vgg_t3").teacher_weight(0.0) is None
    for recipe in (lite3r, memory, full.config.finetune):
        assert full.config.training_data(recipe, "vggt")


def test_the_workflow_starts_torchrun_and_asks_for_its_gpus(full):
    plan = WorkflowPlan(full.model_dump(mode="json"))
    for entry in full.trainings:
        several = entry.method == "vgg_t3"
        assert plan.processes(entry.id) == (8 if several else 1)
        assert ("torch.distributed.run" in plan.launcher(entry.id)) == several
    rule = (ROOT / "workflows" / "train.smk").read_text()
    assert "gpu=lambda w: GPU * PLAN.processes(w.training)" in rule


def test_the_probe_is_bounded_and_as_published_at_full_size():
    spark = method("spark3r")
    assert spark.options.probe("full") == (32, 256)
    assert spark.options.probe("tiny") == (2, 4)
    assert spark.fit_frames("full") == 128
    assert spark.fit_frames("tiny") is None
    assert FIT_FRAMES == 8


def test_lite3r_is_deployed_with_fp8_weights_alone_and_its_projections_as_trained(tiny):
    lite3r = method("lite3r", block=16)
    whole = method("lite3r", block=16, variant="sla_block_fp8")
    assert lite3r.training_options() == whole.training_options()
    lite3r.apply(tiny)
    projections = {n: p.clone() for n, p in tiny.named_parameters() if ".proj_lin." in n}
    facts = lite3r.deploy(tiny)
    assert facts["weight_storage"] == "fp8_e4m3"
    assert "dequantised" in facts["emulated"]
    kept = [n for n, m in tiny.named_modules() if type(m) is nn.Linear]
    assert kept
    assert all(n.endswith("proj_lin") for n in kept)
    for name, parameter in projections.items():
        assert torch.equal(tiny.get_parameter(name), parameter)
    stored = [m for m in tiny.modules() if isinstance(m, StoredLinear)]
    assert stored
    assert not any(m.activations for m in stored)


def test_vgg_t3_without_its_convolution_has_fewer_weights_and_still_runs(tiny):
    method("vgg_t3", short_conv=False).apply(tiny)
    assert not any(".conv." in n for n, _ in tiny.named_parameters() if "global_blocks" in n)
    with torch.no_grad():
        assert tiny(torch.rand(1, 2, 3, 48, 64)).depth.isfinite().all()
