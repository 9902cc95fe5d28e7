"""Configurations: every bad input is one clear error."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.run.config import load_config, parse_config
from bench3r.run.planner import make_plan
from tests.helpers.configs import changed

BAD_KEYS = {
    "unknown key": (changed(metods={}), r"unknown key 'metods' \(did you mean 'methods'\?\)"),
    "nested unknown key": (
        changed(datasets={"scannet": {"root": "x", "scene": 3}}),
        r"datasets\.scannet\.scene.*did you mean 'scenes'",
    ),
    "missing key": ({"name": "t"}, r"methods: field required"),
    "out of range": (
        changed(profile={"repeats": 0}),
        r"profile\.repeats: .*greater than or equal to 1, got 0",
    ),
    "frames 0": (changed(frames=[0]), r"frames: every frame count must be at least 1"),
    "no frames": (changed(frames=[]), r"frames: .*at least 1 item"),
    "wrong choice": (changed(scale="tinny"), r"scale: .*'tiny', 'paper' or 'full', got 'tinny'"),
    "wrong type": (changed(seeds="zero"), r"seeds: .*valid list"),
    "bad name": (changed(name="a/b; rm"), r"name: .*pattern"),
    "no method": (changed(methods={}), r"methods: at least one"),
    "not a mapping": (["x"], r"expected a mapping"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_bad_configuration_names_the_key(case):
    raw, message = BAD_KEYS[case]
    with pytest.raises(Bench3RError, match=message):
        parse_config(raw, "file.yaml")


def test_yaml_errors_name_the_line(tmp_path):
    (tmp_path / "x.yaml").write_text("name: t\nmethods: [")
    with pytest.raises(Bench3RError, match=r"x\.yaml: not valid YAML.*line 2"):
        load_config(tmp_path / "x.yaml")
    with pytest.raises(Bench3RError, match="no such configuration"):
        load_config(tmp_path / "y.yaml")


@pytest.mark.parametrize(
    "ablation",
    [{}, {"method": "mor", "methods": {"mor": {}}}, {"methods": {"mor": {}}, "options": {}}],
)
def test_an_ablation_names_one_method_or_several(ablation):
    with pytest.raises(Bench3RError, match="either `method` with `options`, or `methods`"):
        parse_config(changed(ablations={"a": ablation}), "t")


def test_protocols_may_score_some_datasets_only():
    raw = {
        "name": "x",
        "methods": {"vggt": {}},
        "protocols": ["depth_median", "lite3r"],
        "only": {"lite3r": ["dtu"]},
        "datasets": {d: {"root": "procedural", "scenes": 1} for d in ("scannet", "dtu")},
    }
    config = parse_config(raw, "c.yaml")
    assert config.protocols_for("scannet") == ["depth_median"]
    assert config.protocols_for("dtu") == ["depth_median", "lite3r"]
    with_all = make_plan(parse_config({**raw, "only": {}}, "c.yaml"))
    assert (
        with_all.score_key != make_plan(parse_config(raw, "c.yaml")).score_key
    )  # scores of before lack records
    with pytest.raises(Bench3RError, match=r"only.*lite4r"):
        parse_config(raw | {"only": {"lite4r": ["dtu"]}}, "c.yaml")
    with pytest.raises(Bench3RError, match=r"only\.lite3r.*kitti"):
        parse_config(raw | {"only": {"lite3r": ["kitti"]}}, "c.yaml")
