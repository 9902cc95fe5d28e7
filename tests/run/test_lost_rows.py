"""Whatever would drop rows of a table unseen is an error that names file and key."""

from __future__ import annotations

import pytest
from pydantic import field_validator

from bench3r.api.errors import Bench3RError
from bench3r.api.method import MethodOptions
from bench3r.files import parse_yaml, read_yaml
from bench3r.run.config import RunConfig, load_config, parse_config
from bench3r.run.options import expand_grids
from bench3r.run.plan import Plan
from bench3r.run.planner import make_plan
from bench3r.run.workflow import load_plan
from tests.conftest import ROOT
from tests.helpers.configs import GOOD, changed

SCANNET = {"root": "procedural", "scenes": 2}


def planned(**changes: object) -> Plan:
    return make_plan(parse_config(changed(**changes), "file.yaml"))


REPEATED = {
    "at the top": (
        "name: a\nmethods: {vggt: {}}\nname: b\n",
        "'name' stands twice, in lines 1 and 3",
    ),
    "a method": ("methods:\n  vggt: {}\n  spark3r: {}\n  vggt: {}\n", "'vggt' .* lines 2 and 4"),
    "an option": (
        "methods:\n  spark3r: {kv_factor: 2, kv_factor: 4}\n",
        "'kv_factor' stands twice",
    ),
    "in a list": ("methods: {spark3r: [{}, {kv_factor: 2, kv_factor: 4}]}\n", "'kv_factor'"),
}


@pytest.mark.parametrize("case", REPEATED)
def test_a_repeated_key_is_refused_with_file_and_lines(case, tmp_path):
    text, message = REPEATED[case]
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(Bench3RError, match=rf"x\.yaml: not valid YAML: .*{message}"):
        load_config(tmp_path / "x.yaml")


def test_what_snakemake_passes_over_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("name: a\nname: b\n")
    with pytest.raises(SystemExit, match=r"planning failed\n.*x\.yaml: .*'name' stands twice"):
        load_plan({}, [str(tmp_path / "x.yaml")])
    snakefile = (ROOT / "Snakefile").read_text()
    assert "load_plan(config, workflow.configfiles)" in snakefile


def test_merged_keys_may_be_overridden():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a, z: 4}\n"
    assert parse_yaml(text, "t") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
        "c": {"x": 1, "y": 2, "z": 4},
    }


@pytest.mark.parametrize("folder", ["config", "profiles", "slurm", "bench3r", "methods"])
def test_no_yaml_file_of_the_project_repeats_a_key(folder):
    for path in (ROOT / folder).rglob("*.yaml"):
        read_yaml(path)


def test_yaml_is_read_in_one_place():
    for path in (ROOT / "bench3r").rglob("*.py"):
        if path.name != "files.py":
            assert "safe_load" not in path.read_text(), path


LOST = {
    "empty axis": (
        {"methods": {"spark3r": {"query_factor": []}}},
        r"methods\.spark3r\.query_factor: ",
    ),
    "no grid": ({"methods": {"vggt": {}, "spark3r": []}}, r"methods\.spark3r: the list is empty"),
    "repeated value": (
        {"methods": {"spark3r": {"kv_factor": [2, 4, 2]}}},
        "kv_factor=2 stand.* twice",
    ),
    "grid of nothing new": (
        {"methods": {"spark3r": [{"kv_factor": [2, 4]}, {"kv_factor": 4}]}},
        r"methods\.spark3r\[1\]: all its options stand in the grids before it",
    ),
    "backbone not among the run's": (
        {"methods": {"vggt": {}, "pi3": {}}, "backbones": ["vggt"]},
        r"methods\.pi3: it runs on pi3, and the backbones are vggt",
    ),
    "nor among the ablation's": (
        {"ablations": {"a": {"methods": {"pi3": {}}}}},
        r"ablations\.a\.pi3: it runs on pi3",
    ),
    "backbone without a method": (
        {"methods": {"vggt": {}, "dust3r": {}}, "backbones": ["vggt", "pi3"]},
        r"backbones: no method of the run runs on pi3",
    ),
    "no backbone": ({"backbones": []}, "backbones: .*at least 1 item"),
    "repeated backbone": ({"backbones": ["vggt", "vggt"]}, "backbones: .*'vggt' stands twice"),
    "no seed": ({"seeds": []}, "seeds: .*at least 1 item"),
    "repeated seed": ({"seeds": [0, 1, 0]}, "seeds: .*0 stands twice"),
    "no frame count": ({"frames": []}, "frames: .*at least 1 item"),
    "repeated frame count": ({"frames": [4, 4]}, "frames: .*4 stands twice"),
    "no protocol": ({"protocols": []}, "protocols: .*at least 1 item"),
    "repeated protocol": ({"protocols": ["fscore", "fscore"]}, "'fscore' stands twice"),
    "protocol that scores nothing": ({"only": {"fscore": []}}, r"only\.fscore: .*at least 1 item"),
    "no measured frame count": ({"profile": {"frames": []}}, r"profile\.frames: .*at least 1 item"),
    "repeated rung": ({"profile": {"ladder": ["fp32", "fp32"]}}, "stands twice"),
    "no dataset": ({"datasets": {}}, "datasets: at least one dataset is needed"),
    "no main dataset": (
        {"datasets": {"scannet": {**SCANNET, "main": False}}},
        "the methods run on none",
    ),
    "no scene": ({"datasets": {"scannet": {**SCANNET, "scenes": 0}}}, r"datasets\.scannet\.scenes"),
    "no named scene": (
        {"datasets": {"scannet": {"root": "x", "scenes": []}}},
        r"datasets\.scannet\.scenes",
    ),
    "repeated scene": (
        {"datasets": {"scannet": {"root": "x", "scenes": ["a", "a"]}}},
        r"datasets\.scannet\.scenes.*'a' stands twice",
    ),
    "ablation on no dataset": (
        {"ablations": {"a": {"method": "vggt", "datasets": []}}},
        r"ablations\.a\.datasets: .*at least 1 item",
    ),
    "ablation on no frames": (
        {"ablations": {"a": {"method": "vggt", "frames": []}}},
        r"ablations\.a\.frames: .*at least 1 item",
    ),
    "recipe of no method of the run": (
        {"finetune_by_method": {"mor": {"steps": 3}}},
        r"finetune_by_method: unknown method of the run 'mor'",
    ),
    "ablation with the main table's name": (
        {"ablations": {"main": {"method": "vggt"}}},
        r"ablations\.main: this is the table of `methods`",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_rows_do_not_vanish(case):
    changes, message = LOST[case]
    with pytest.raises(Bench3RError, match=rf"(file\.yaml|config): .*{message}"):
        planned(**changes)


class Rounded(MethodOptions):
    """Options that two different values give."""

    size: int = 2

    @field_validator("size")
    @classmethod
    def _even(cls, value: int) -> int:
        return value - value % 2


def test_values_that_come_to_the_same_options_are_refused():
    assert len(expand_grids({"size": [2, 4]}, Rounded, "x")) == 2
    with pytest.raises(Bench3RError, match="x: the options size=4 stand in it twice"):
        expand_grids({"size": [2, 4, 5]}, Rounded, "x")


def test_grids_may_overlap_and_compare_what_they_share_once():
    found = expand_grids([{"size": [2, 4]}, {"size": [4, 6]}], Rounded, "x")
    assert [options.size for options in found] == [2, 4, 6]


def test_settings_with_one_short_name_are_refused(plugins):
    code = (plugins / "methods" / "vggt.py").read_text().replace("vggt", "named")
    code = code.replace('kind = "backbone"', 'kind = "control"').replace(
        "class VGGT", "class Named"
    )
    code += "\n    class Options(MethodOptions):\n        text: str = ''\n"
    code = code.replace("import Method", "import Method, MethodOptions")
    (plugins / "methods" / "named.py").write_text(code)
    methods = {"named": {"text": ["a/b", "a_b"]}}
    with pytest.raises(Bench3RError, match=r"two settings have the same short name .*text=a_b"):
        planned(methods=methods)


def test_a_plugin_with_the_name_of_a_shipped_one_stops_every_run(plugins):
    for folder, shipped in (("methods", "vggt"), ("datasets", "scannet")):
        text = (plugins / folder / f"{shipped}.py").read_text()
        path = plugins / folder / "a_file_of_mine.py"  # found before the shipped one
        path.write_text(text)
        says = rf"{shipped}\.py: the name '{shipped}' is already taken by .*a_file_of_mine\.py"
        with pytest.raises(Bench3RError, match=says):
            planned()
        path.unlink()


def test_all_costs_are_measured_on_the_first_dataset():
    datasets = {"scannet": SCANNET, "dtu": {**SCANNET, "main": False}}
    ablation = {"methods": {"vggt": {}, "spark3r": {"kv_factor": 2}}, "datasets": ["dtu"]}
    plan = planned(datasets=datasets, ablations={"a": ablation})
    assert len(plan.profiles) == 2
    assert {p.dataset for p in plan.profiles} == {plan.datasets[0].id}
    assert plan.datasets[0].name == "scannet"


def test_nothing_is_lost_of_a_good_configuration():
    config = parse_config(GOOD, "file.yaml")
    assert isinstance(config, RunConfig)
    assert len(make_plan(config).cells) == len(GOOD["methods"]) * len(GOOD["datasets"])
