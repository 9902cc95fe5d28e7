"""Networks without values have the parameters of those with values, and cost no time to build."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bench3r.measure.flops import parameter_parts
from bench3r.measure.sizes import sizes_only
from bench3r.models.backbones import build_backbone
from bench3r.models.catalogue import backbones

LOADED = """
import sys
from bench3r.measure.sizes import sizes_only
from bench3r.models.backbones import build_backbone
with sizes_only():
    build_backbone("vggt", "full")
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("backbone", backbones())
def test_parameters_are_those_of_a_network_with_values(backbone):
    with sizes_only():
        without = build_backbone(backbone, "tiny")
    network = build_backbone(backbone, "tiny")
    assert parameter_parts(without) == parameter_parts(network)
    shapes = {name: p.shape for name, p in network.named_parameters()}
    assert {name: p.shape for name, p in without.named_parameters()} == shapes
    assert all(p.is_meta for p in without.parameters())


def test_no_compiler_is_loaded_to_build_one():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_outside_of_it_networks_have_values():
    with sizes_only():
        pass
    layer = torch.nn.Linear(3, 3)
    assert not layer.weight.is_meta
    assert layer.weight.abs().sum() > 0
