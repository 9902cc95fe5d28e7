"""From a configuration to cells: names, axes, keys, references."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from bench3r.api.errors import Bench3RError
from bench3r.run.config import load_config, parse_config
from bench3r.run.options import expand_options
from bench3r.run.planner import make_plan
from tests.conftest import ROOT
from tests.helpers.configs import GOOD, changed

BAD_PLANS = {
    "method": (changed(methods={"vgtt": {}}), r"unknown method 'vgtt' \(did you mean 'vggt'\?\)"),
    "option": (
        changed(methods={"oracle": {"depth_nois": 1}}),
        r"methods\.oracle: unknown option 'depth_nois' \(did you mean 'depth_noise'",
    ),
    "option range": (
        changed(methods={"oracle": {"depth_noise": -1}}),
        r"depth_noise: .*greater than or equal to 0, got -1",
    ),
    "dataset": (
        changed(datasets={"scanet": {"root": "procedural"}}),
        r"unknown dataset 'scanet' \(did you mean 'scannet'",
    ),
    "backbone": (changed(backbones=["vgg"]), r"unknown backbone 'vgg' \(did you mean 'vggt'"),
    "protocol": (changed(protocols=["fscor"]), r"unknown protocol 'fscor' \(did you mean 'fscore'"),
    "no stand-in": (
        changed(datasets={"seven_scenes": {"root": "procedural"}}),
        r"seven_scenes has no procedural stand-in",
    ),
    "too few views": (changed(frames=[12]), r"views is 8, fewer than frames 12"),
}


@pytest.mark.parametrize("case", BAD_PLANS)
def test_bad_names_get_a_suggestion(case):
    raw, message = BAD_PLANS[case]
    with pytest.raises(Bench3RError, match=message):
        make_plan(parse_config(raw, "file.yaml"))


def test_lists_among_options_are_axes():
    raw = changed(
        methods={"oracle": {"depth_noise": [0.01, 0.05], "rotation_deg": [1, 2, 3]}},
        seeds=[0, 1],
        frames=[2, 4],
    )
    plan = make_plan(parse_config(raw, "x"))
    assert len(plan.cells) == 2 * 3 * 2 * 2
    assert len({c.id for c in plan.cells}) == len(plan.cells)
    assert len({c.key for c in plan.cells}) == len(plan.cells)


def test_options_whose_type_is_a_list_are_no_axes():
    from bench3r.api.method import MethodOptions

    class Options(MethodOptions):
        layers: tuple[int, ...] = (1,)

    assert [o.layers for o in expand_options({"layers": [1, 2]}, Options, "x")] == [(1, 2)]
    assert [o.layers for o in expand_options({"layers": [[1], [2, 3]]}, Options, "x")] == [
        (1,),
        (2, 3),
    ]


def test_keys_depend_on_what_matters():
    base = {c.method: c.key for c in make_plan(parse_config(GOOD, "x")).cells}
    assert base == {
        c.method: c.key
        for c in make_plan(parse_config(changed(limits={"memory_gb": 3}), "x")).cells
    }
    for change in (
        {"precision": "bf16"},
        {"offload_taps": True},
        {"seeds": [1]},
        {"frames": [3]},
        {"datasets": {"scannet": {"root": "procedural", "scenes": 3}}},
    ):
        other = {c.method: c.key for c in make_plan(parse_config(changed(**change), "x")).cells}
        assert all(base[m] != other[m] for m in base), change


def test_every_configuration_in_the_repository_can_be_planned():
    for path in sorted((ROOT / "config").glob("*.yaml")):
        plan = make_plan(load_config(path))
        assert plan.cells
        json.dumps(plan.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize(
    "name", ["default", "attention", "paper", "full", "long", "seven_scenes", "base"]
)
def test_shipped_configurations_plan(name):
    plan = make_plan(load_config(ROOT / "config" / f"{name}.yaml"))
    assert plan.cells
    assert not [c.id for c in plan.cells if c.unsupported]


def test_the_command_line_prints_one_line_and_exits_2(tmp_path):
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(changed(methods={"vgtt": {}})))
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "plan",
        "--config",
        str(tmp_path / "x.yaml"),
        "--out",
        str(tmp_path / "p.json"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p.json").exists()


def test_a_comparison_of_several_methods_runs_on_its_own_backbones_and_datasets():
    raw = changed(
        datasets={
            "scannet": {"root": "procedural"},
            "blendedmvs": {"root": "procedural", "main": False},
        },
        ablations={
            "b": {
                "methods": {"pi3": {}, "spark3r": {}},
                "backbones": ["pi3"],
                "datasets": ["blendedmvs"],
            }
        },
    )
    plan = make_plan(parse_config(raw, "t"))
    assert {(c.method, c.backbone, c.dataset_name) for c in plan.cells if "main" in c.tables} == {
        ("vggt", "vggt", "scannet"),
        ("oracle", "none", "scannet"),
    }
    assert {(c.method, c.backbone, c.dataset_name) for c in plan.cells if "b" in c.tables} == {
        ("pi3", "pi3", "blendedmvs"),
        ("spark3r", "pi3", "blendedmvs"),
    }


def test_options_that_do_not_matter_to_training_share_one_training():
    plan = make_plan(
        parse_config(changed(methods={"vgg_t3": {"localise": [0, 1], "steps": [1, 2]}}), "t")
    )
    assert len(plan.cells) == 4
    assert len({c.trained for c in plan.cells}) == 1


def test_every_backbone_may_have_weights_of_its_own(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"x")
    base = {"vggt": "shipped", "pi3": str(tmp_path / "w.safetensors")}
    both = changed(methods={"vggt": {}, "pi3": {}}, backbones=["vggt", "pi3"])
    keys = [
        {c.method: c.key for c in make_plan(parse_config({**both, "base": b}, "t")).cells}
        for b in ("shipped", base)
    ]
    assert keys[0]["vggt"] == keys[1]["vggt"]
    assert keys[0]["pi3"] != keys[1]["pi3"]
    with pytest.raises(Bench3RError, match="base has no entry for backbone pi3"):
        make_plan(parse_config({**both, "base": {"vggt": "shipped"}}, "t"))


def test_frame_lists_and_frame_counts_must_agree(tmp_path):
    listed = {"root": str(tmp_path), "frame_list": "pi3_7scenes_kf200"}
    raw = {
        "name": "x",
        "methods": {"vggt": {}},
        "datasets": {"seven_scenes": listed},
        "frames": [0],
    }
    (entry,) = make_plan(parse_config(raw, "c.yaml")).datasets
    assert (entry.scenes, entry.frame_list) == ("all", "pi3_7scenes_kf200")
    with pytest.raises(
        Bench3RError, match=r"pi3_7scenes_kf200 fixes the frames: set `frames: \[0\]`, got \[4\]"
    ):
        make_plan(parse_config({**raw, "frames": [4]}, "c.yaml"))
    for other, message in (
        ("pi3_nrgbd_kf100", "is a list of nrgbd"),
        ("pi3_7scenes_kf20", r"'pi3_7scenes_kf20'.*did you mean"),
    ):
        wrong = parse_config(
            {**raw, "datasets": {"seven_scenes": {**listed, "frame_list": other}}}, "c.yaml"
        )
        with pytest.raises(Bench3RError, match=message):
            make_plan(wrong)
    with pytest.raises(Bench3RError, match="procedural scenes have no frame list"):
        parse_config(
            {**raw, "datasets": {"seven_scenes": {**listed, "root": "procedural"}}}, "c.yaml"
        )


def test_fidelity_compares_with_the_unchanged_backbone():
    raw = {
        "name": "x",
        "methods": {"vggt": {}, "layer_skip": {}, "oracle": {}},
        "frames": [2, 3],
        "datasets": {"scannet": {"root": "procedural", "views": 3}},
        "protocols": ["depth_median", "fidelity"],
    }
    plan = make_plan(parse_config(raw, "c.yaml"))
    for cell in plan.cells:
        if cell.method != "layer_skip":
            assert cell.reference is None
        else:
            dense = plan.cell(str(cell.reference))
            assert (dense.method, dense.dataset, dense.frames) == (
                "vggt",
                cell.dataset,
                cell.frames,
            )
    without = make_plan(parse_config({**raw, "protocols": ["depth_median"]}, "c.yaml"))
    assert all(c.reference is None for c in without.cells)
