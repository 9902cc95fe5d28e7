"""The tutorials run as they are printed."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from bench3r import cli
from bench3r.api.method import METHODS, BuildContext
from bench3r.models.backbones import load_backbone
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.stages.check import check_method
from tests.conftest import ROOT
from tests.helpers.in_process import run_all
from tests.helpers.worlds import build, png16


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of one language on a page of docs/."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)


def scores(folder, run):
    """All metrics of a run without failures."""
    table = pd.read_parquet(folder / "results" / run / "records.parquet")
    assert set(table["status"]) == {"ok"}
    return table


@pytest.mark.slow
def test_the_method_of_the_tutorial(plugins, tmp_path, monkeypatch):
    (code,) = blocks("add_a_method.md", "python")
    (config,) = blocks("add_a_method.md", "yaml")
    file = plugins / "methods" / "every_second_key.py"
    file.write_text(code)
    said = list(check_method(file))
    assert any("every second key" in line for line in said)
    monkeypatch.chdir(tmp_path)
    raw = yaml.safe_load(config) | {
        "protocols": ["depth_median"],
        "profile": {"frames": [4], "warmup": 1, "repeats": 1},
    }
    run_all(make_plan(parse_config(raw, "strides.yaml")))
    rows = scores(tmp_path, "strides")
    stride = rows["options"].str.extract(r'"stride": (\d)')[0].fillna("0")
    values = (
        rows[rows["metric"] == "absrel"]
        .assign(stride=stride)
        .pivot_table(index="stride", columns="scene", values="value")
    )
    np.testing.assert_allclose(values.loc["1"], values.loc["0"], rtol=1e-5)  # stride 1 is VGGT
    assert (values.loc["4"] - values.loc["0"]).abs().max() > 1e-6
    page = (tmp_path / "reports" / "strides" / "index.html").read_text()
    assert "every second key (stride 4)" in page


@pytest.mark.slow
def test_the_template_is_a_method_that_changes_nothing(plugins):
    text = (ROOT / "methods" / "_template.py").read_text()
    assert text.count("\n") <= 60
    file = plugins / "methods" / "mine.py"
    file.write_text(text.replace('"NAME"', '"mine"'))
    said = "\n".join(check_method(file))
    assert "loads: mine" in said
    cls = METHODS.get("mine")
    images = torch.rand(1, 3, 3, 72, 96)
    dense, model = (load_backbone(BuildContext("vggt", "tiny")) for _ in range(2))
    model.load_state_dict(dense.state_dict())
    cls().apply(model)
    with torch.inference_mode():
        torch.testing.assert_close(model(images).depth, dense(images).depth)


def test_every_command_has_an_example():
    for command in cli.app.registered_commands:
        assert command.epilog, command.callback
        words = shlex.split(command.epilog.removeprefix("Example: "))
        assert words[:2] == ["bench3r", command.name or command.callback.__name__]


@pytest.mark.slow
def test_the_dataset_of_the_tutorial(plugins, tmp_path, monkeypatch):
    (code,) = blocks("add_a_dataset.md", "python")
    (config,) = blocks("add_a_dataset.md", "yaml")
    (plugins / "datasets" / "myrgbd.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    world = build()
    folder = tmp_path / "data" / "mine" / "desk"
    for i in range(6):
        (folder / "rgb").mkdir(parents=True, exist_ok=True)
        Image.fromarray(world.images[i]).save(folder / "rgb" / f"{i:03d}.png")
        png16(folder / "depth" / f"{i:03d}.png", world.depth[i], 1000)
    np.savetxt(folder / "poses.txt", world.c2w.reshape(6, 16))
    np.savetxt(folder / "camera.txt", world.k[[0, 1, 0, 1], [0, 1, 2, 2]][None])
    from bench3r.data.validate import check_scene

    assert check_scene("myrgbd", str(folder.parent), "desk", 1).problems == []
    np.savetxt(folder / "poses.txt", np.linalg.inv(world.c2w).reshape(6, 16))
    assert "inverted" in check_scene("myrgbd", str(folder.parent), "desk", 1).problems[0]
    np.savetxt(folder / "poses.txt", world.c2w.reshape(6, 16))
    raw = yaml.safe_load(config) | {
        "protocols": ["depth_median"],
        "profile": {"frames": [4], "warmup": 1, "repeats": 1},
    }
    run_all(make_plan(parse_config(raw, "mine.yaml")))
    rows = scores(tmp_path, "mine")
    assert set(rows["dataset"]) == {"myrgbd"}
    assert not rows["procedural"].any()


NAMED = re.compile(r"`((?:methods|datasets|config|benchmarks|bench3r|tests|slurm|docs)/[\w./]+)`")
WRITTEN = (
    "every_second_key.py",
    "late_global.py",
    "mine.py",
    "myrgbd.py",
    "strides.yaml",
    "NAME.yaml",
)


def test_pages_name_files_that_exist():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text()
        for name in NAMED.findall(text):
            written = name.rpartition("/")[2] in WRITTEN
            assert written or (ROOT / name).exists(), f"{page.name}: {name}"
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_ends_after_four_screens():
    """Its first screen has the picture, the two commands and a table of five rows."""
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 130
    start = text[: text.index("## ")]
    assert "![" in start
    assert "./run.sh" in start
    assert "./test.sh" in start
    assert start.count("\n| ") == 6  # heads and five rows


FORBIDDEN = re.compile(
    r"(?<!ground )(?<!ground-)\btruth\b|\bholes?\b|not clear of zero|third opinion|dearest"
    r"|eight bits|widened|layers that (?:do not )?mind|to itself|\bprices?\b",
    re.IGNORECASE,
)


def test_pages_use_the_words_of_the_field():
    """Also methods and configurations, which users read and copy."""
    folders = ("docs", "config", "methods", "slurm", "profiles")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    for folder in folders:
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix in (".md", ".yaml", ".py")]
    for file in files:
        words = FORBIDDEN.findall(" ".join(file.read_text().split()))
        assert not words, f"{file.relative_to(ROOT)}: {words}"
