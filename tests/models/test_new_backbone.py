"""A backbone is a folder: one that is planted is found, counted, changed by methods and trained.

Its files are copied to a folder of their own, to which the registry is pointed beside the folders
of the library. Nothing else of Bench3R is told of it.
"""

from __future__ import annotations

import ast
import csv
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, BuildContext
from bench3r.measure import flops
from bench3r.models.backbones import build_backbone, build_predictor
from bench3r.models.catalogue import (
    NETWORKS,
    backbones,
    input_size,
    label_of_network,
    unchanged_cost,
)
from bench3r.models.weights import read_state_dict, resolve_base, save_safetensors
from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig
from bench3r.training.transfer import start_from
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "helpers" / "planted"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch):
    """The catalogue with one more folder, ``planted``."""
    folder = tmp_path / "models"
    folder.mkdir()
    for package in NETWORKS.files().values():
        (folder / package.parent.name).symlink_to(package.parent)
    shutil.copytree(FOLDER, folder / "planted", ignore=shutil.ignore_patterns("__pycache__"))
    NETWORKS.all()  # the library's own folders are imported from where they are
    monkeypatch.setattr(NETWORKS, "folder", folder)
    yield "planted"
    for name in list(sys.modules):
        if name.startswith("bench3r.models.planted"):
            del sys.modules[name]


def test_shared_code_of_models_and_training_names_no_network():
    names = re.compile("|".join([*NETWORKS.all(), "da3"]), re.IGNORECASE)
    for room in ("models", "training"):
        for file in (ROOT / "bench3r" / room).glob("*.py"):
            found = [part for part in code_of(file) if names.search(part)]
            assert found == [], file


def code_of(file: Path) -> list[str]:
    """Names and strings of a module; its docstrings and comments are left out."""
    tree = ast.parse(file.read_text())
    parts = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0].value = ast.Constant(None)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts.append(node.value)
        if isinstance(node, ast.Name | ast.Attribute | ast.alias | ast.ImportFrom):
            parts.append(ast.unparse(node))
    return parts


def test_catalogue_finds_it(planted):
    assert planted in backbones()
    assert label_of_network(planted) == "Planted"
    assert input_size(planted, "tiny") == (48, 64, 8)
    with pytest.raises(Bench3RError, match="no configuration for scale 'full'"):
        build_backbone(planted, "full")


@pytest.mark.parametrize("frames", [1, 3])
def test_its_macs_are_counted_and_agree_with_its_closed_form(planted, frames):
    model = build_backbone(planted, "tiny").eval()
    closed = unchanged_cost(planted, "tiny", frames)
    counted = flops.count(model, torch.rand(1, frames, 3, 48, 64))
    assert counted.macs == closed.total
    assert flops.parts(model, counted.by_module) == closed.parts


@pytest.mark.parametrize(
    ("method", "options"), [("shallow", {"quarters": 2}), ("mor", {}), ("block_sparse", {})]
)
def test_methods_of_both_hooks_change_it(planted, method, options):
    cls = METHODS.get(method)
    predictor = build_predictor(cls(cls.Options(**options)), BuildContext(planted, "tiny"))
    images = torch.rand(1, 3, 3, 48, 64)
    with torch.inference_mode():
        assert predictor(images).problems(images) == []


@pytest.mark.parametrize("start", ["scratch", "vggt"])
def test_it_is_trained(planted, start, tmp_path):
    config = TrainConfig(
        start=start,
        steps=2,
        log_every=1,
        width=48,
        heights=(48,),
        frames_per_batch=4,
        view_counts=(2,),
        workers=0,
        loss_weights={"camera": 2.0, "depth": 1.0, "matching": 0.1},
        activation_checkpointing=True,
    )
    trainer = train_base(planted, "tiny", config, tmp_path / "run")
    assert trainer.step == 2
    with (tmp_path / "run" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    for part in ("camera", "depth", "matching", "total"):
        assert all(float(row[part]) == float(row[part]) for row in rows), part
    save_safetensors(tmp_path / "w.safetensors", trainer.ema.weights)
    context = BuildContext(planted, "tiny", weights=tmp_path / "w.safetensors")
    predictor = build_predictor(METHODS.get("vggt")(), context)
    images = torch.rand(1, 2, 3, 48, 64)
    with torch.inference_mode():
        assert predictor(images).problems(images) == []


def test_it_takes_the_trunk_of_another_network(planted):
    model = build_backbone(planted, "tiny")
    vggt = read_state_dict(resolve_base("shipped", "vggt", "tiny", None))
    trunk = [name for name in model.state_dict() if name.split(".")[0].endswith("_blocks")]
    assert start_from(model, "vggt", vggt) == len(trunk)
    weight = vggt["aggregator.frame_blocks.1.attn.qkv.weight"].float()
    torch.testing.assert_close(model.frame_blocks[1].attn.qkv.weight, weight)
