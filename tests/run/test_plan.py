"""Configuration, registry and plan: every bad input is one clear error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.run.config import load_config, parse_config
from bench3r.run.plan import expand_options, make_plan
from tests.conftest import ROOT

GOOD = {
    "name": "t",
    "methods": {"vggt": {}, "oracle": {}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 2}},
}


def changed(**changes):
    return {**GOOD, **changes}


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


def test_yaml_errors_name_the_line(tmp_path):
    (tmp_path / "x.yaml").write_text("name: t\nmethods: [")
    with pytest.raises(Bench3RError, match=r"x\.yaml: not valid YAML.*line 2"):
        load_config(tmp_path / "x.yaml")
    with pytest.raises(Bench3RError, match="no such configuration"):
        load_config(tmp_path / "y.yaml")


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


def test_a_plugin_that_raises_on_import_is_named_with_its_line(plugins):

    (plugins / "methods" / "broken.py").write_text("import os\n\nvalue = 1 / 0\n")
    with pytest.raises(Bench3RError, match=r"broken\.py, line 3: .*ZeroDivisionError"):
        METHODS.all()
    (plugins / "methods" / "broken.py").write_text("def f(:\n")
    with pytest.raises(Bench3RError, match=r"broken\.py, line 1: .*SyntaxError"):
        METHODS.all()


def test_a_broken_plugin_stops_only_the_runs_that_name_it(plugins, tmp_path):
    (plugins / "methods" / "broken.py").write_text("import os\n\nvalue = 1 / 0\n")
    (plugins / "datasets" / "mine.py").write_text("def f(:\n")
    raw = {"name": "x", "methods": {"vggt": {}}, "datasets": {"scannet": {"root": "procedural"}}}
    with pytest.warns(UserWarning, match=r"left out.*(broken\.py, line 3|mine\.py, line 1)"):
        assert make_plan(parse_config(raw, "x")).cells
    for changed, says in (
        ({"methods": {"broken": {}}}, r"broken\.py, line 3"),
        ({"datasets": {"mine": {"root": "."}}}, "mine\\.py"),
        ({"methods": {"brokem": {}}}, r"unknown method 'brokem'.*cannot be loaded: broken\.py"),
    ):
        with pytest.raises(Bench3RError, match=says):
            make_plan(parse_config(raw | changed, "x"))
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(raw))
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "plan",
        "--config",
        str(tmp_path / "x.yaml"),
        "--out",
        str(tmp_path / "p"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "BENCH3R_ROOT": str(plugins)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "warning: left out" in done.stderr
    assert "broken.py, line 3" in done.stderr


def test_two_plugins_with_one_name_are_refused(plugins):

    text = (plugins / "methods" / "vggt.py").read_text()
    (plugins / "methods" / "second.py").write_text(text)
    with pytest.raises(Bench3RError, match=r"the name 'vggt' is already taken by .*second\.py"):
        METHODS.all()


def test_a_file_without_a_method_is_refused(plugins):

    (plugins / "methods" / "empty.py").write_text("x = 1\n")
    with pytest.raises(Bench3RError, match=r"empty\.py: expected exactly one method, found none"):
        METHODS.all()


def test_plugins_shadow_no_installed_package(plugins):

    DATASETS.all()
    assert "datasets" not in sys.modules or "bench3r" not in str(sys.modules["datasets"])
    assert "bench3r_datasets.scannet" in sys.modules


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


def test_the_contract_test_accepts_ours_and_refuses_the_broken(tmp_path):
    from bench3r.stages.check import check_method

    for name in ("vggt", "oracle", "trivial"):
        lines = list(check_method(ROOT / "methods" / f"{name}.py"))
        assert "reconstructs 3 views" in lines[-1]
    bad = tmp_path / "nan_method.py"
    bad.write_text(
        "import torch\nfrom bench3r.api.method import Method\n\n\nclass Nan(Method):\n    name = 'nan_method'\n    label = 'NaN'\n"
        "    kind = 'control'\n\n    def build(self, context):\n        from bench3r.api.reconstruction import Reconstruction\n\n"
        "        return lambda images: Reconstruction(*[torch.full((1, 3, *s), float('nan')) for s in "
        "[(3, 4), (3, 3), (72, 96), (72, 96)]])\n"
    )
    with pytest.raises(Bench3RError, match="NaN or infinity"):
        list(check_method(bad))


def test_the_method_in_the_readme_works(tmp_path):
    from bench3r.stages.check import check_method

    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "late_global.py").write_text(code)
    lines = list(check_method(tmp_path / "late_global.py"))
    assert [line.split(": reconstructs 3 views")[0] for line in lines[-3:]] == [
        "depth_anything_3",
        "pi3",
        "vggt",
    ]


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


@pytest.mark.parametrize(
    "ablation",
    [{}, {"method": "mor", "methods": {"mor": {}}}, {"methods": {"mor": {}}, "options": {}}],
)
def test_an_ablation_names_one_method_or_several(ablation):
    with pytest.raises(Bench3RError, match="either `method` with `options`, or `methods`"):
        parse_config(changed(ablations={"a": ablation}), "t")


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


@pytest.mark.parametrize("name", ["default", "attention", "paper", "full", "seven_scenes", "base"])
def test_shipped_configurations_plan(name):
    plan = make_plan(load_config(ROOT / "config" / f"{name}.yaml"))
    assert plan.cells
    assert not [c.id for c in plan.cells if c.unsupported]


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


def test_every_part_of_the_library_makes_records_stale():
    """What a prediction runs through is among the sources whose change makes it stale."""
    from bench3r.run.provenance import LIBRARY, STAGE_CODE

    for folder in ("models", "attention", "pairwise", "recursion", "measure"):
        assert folder in STAGE_CODE["predict"], folder
        assert folder in STAGE_CODE["profile"], folder
    assert all((LIBRARY / part).exists() for parts in STAGE_CODE.values() for part in parts)
    readers = "".join(p.read_text() for p in (ROOT / "datasets").glob("*.py"))
    used = {
        f"{m}.py"
        for m in re.findall(r"from bench3r\.(\w+) import", readers)
        if (LIBRARY / f"{m}.py").is_file()
    }
    for stage in (
        "prepare",
        "train",
        "predict",
        "profile",
        "score",
    ):  # whatever a loader reads with
        assert used - {"errors.py", "files.py"} <= set(STAGE_CODE[stage]), stage


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
