"""Shared fixtures. Two torch threads fight other processes, so tests use one."""

from __future__ import annotations

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
    from bench3r.training.initialisation import initialise

    torch.manual_seed(0)
    model = VGGT(VGGT_SCALES["tiny"]())
    initialise(model)
    return model.eval()


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A copy of the plug-in folders that a test may change, with the registry looking there."""
    import shutil

    from bench3r.api.dataset import DATASETS
    from bench3r.api.method import METHODS

    for registry, name in ((METHODS, "methods"), (DATASETS, "datasets")):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(registry, "folder", tmp_path / name)
        registry.forget()
    yield tmp_path
    METHODS.forget()
    DATASETS.forget()
