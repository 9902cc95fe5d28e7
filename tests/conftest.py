"""Shared fixtures. Two torch threads fight other processes, so tests use one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def golden():
    """Load NAME.json and NAME.npz of the golden folder."""
    from bench3r.files import read_json, read_npz

    return lambda name: (read_json(GOLDEN / f"{name}.json"), read_npz(GOLDEN / f"{name}.npz"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def tiny():
    """An initialised VGGT of the tiny scale."""
    from bench3r.models.vggt.config import VGGT_SCALES
    from bench3r.models.vggt.network import VGGT
    from bench3r.training.trainer import initialise

    torch.manual_seed(0)
    model = VGGT(VGGT_SCALES["tiny"]())
    initialise(model)
    return model.eval()


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A copy of the plug-in folders that a test may change, with the registry looking there."""
    import shutil

    from bench3r.api import registry

    for kind in registry.FOLDERS:
        shutil.copytree(ROOT / kind, tmp_path / kind, ignore=shutil.ignore_patterns("__pycache__"))
    for name in [m for m in sys.modules if m.startswith(("bench3r_methods", "bench3r_datasets"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for function in (registry.plugin_files, registry.load_usable, registry.load_all, registry.load_one):
        defaults = tuple(tmp_path if d == ROOT else d for d in function.__defaults__)
        monkeypatch.setattr(function, "__defaults__", defaults)
    yield tmp_path
    for name in [m for m in sys.modules if m.startswith(("bench3r_methods", "bench3r_datasets"))]:
        del sys.modules[name]
