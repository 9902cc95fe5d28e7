"""Planning without torch: the same plan, and the real torch where a plug-in needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench3r.run.config import load_config
from bench3r.run.planner import make_plan
from tests.conftest import ROOT

CALLED = """
import sys
from bench3r.run.torch_stub import TorchNeeded, leave_torch_out
assert leave_torch_out()
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Layer(nn.Module):
    def __init__(self):
        super().__init__()

    @torch.no_grad()
    def forward(self, x: Tensor | None) -> tuple[Tensor, ...]:
        return F.silu(x)


table = {"silu": F.silu, "type": torch.float8_e4m3fn}
assert callable(Layer.forward) and Layer.forward.__name__ == "forward"
for use in (lambda: Layer(), lambda: bool(torch.cuda.is_available()), lambda: torch.ones(3) + 1, lambda: list(Tensor),
            lambda: torch.pi > 3, lambda: torch.tensor([1, 2])[0] * 2, lambda: len(torch.arange(3))):
    try:
        use()
    except TorchNeeded:
        continue
    raise SystemExit("a stand-in was used")
assert not hasattr(torch, "__version__")
"""


def test_stand_ins_can_be_named_and_subclassed_but_not_used():
    done = subprocess.run(
        [sys.executable, "-c", CALLED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["default", "full", "attention"])
def test_the_plan_is_the_same_without_torch(name, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "bench3r",
            "plan",
            "--config",
            f"config/{name}.yaml",
            "--out",
            tmp_path / "p",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch._C" not in done.stderr  # the real one was never imported
    expected = make_plan(load_config(ROOT / "config" / f"{name}.yaml")).model_dump(mode="json")
    assert json.loads((tmp_path / "p").read_text()) == json.loads(json.dumps(expected))


@pytest.mark.parametrize(
    "line",
    ["TABLE = torch.arange(4) * 2", "LAYER = nn.Linear(2, 2)\nassert LAYER.weight.shape == (2, 2)"],
)
def test_a_plug_in_that_computes_while_it_loads_gets_torch(line, plugins):
    (plugins / "methods" / "mine.py").write_text(f'''"""Mine."""

import torch
from torch import nn

from bench3r.api.method import Method

{line}


class Mine(Method):
    """Changes nothing."""

    name = "mine"
    label = "mine"
''')
    (plugins / "mine.yaml").write_text(
        "name: mine\nmethods: {mine: {}}\ndatasets: {scannet: {root: procedural, scenes: 1}}\nframes: [2]\n"
    )
    environment = {**os.environ, "BENCH3R_ROOT": str(plugins)}
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "plan",
        "--config",
        str(plugins / "mine.yaml"),
        "--out",
        str(plugins / "p.json"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [c["method"] for c in json.loads((plugins / "p.json").read_text())["cells"]] == ["mine"]


def test_mistakes_are_named_as_with_torch(tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "name: bad\nmethods: {spark4r: {}}\ndatasets: {scannet: {root: procedural}}\n"
    )
    command = [sys.executable, "-m", "bench3r", "plan", "--config", str(tmp_path / "bad.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "spark4r" in done.stderr
    assert "spark3r" in done.stderr
