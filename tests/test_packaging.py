"""The lists of packages agree, and the repository says what it must."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import yaml

from tests.conftest import ROOT


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[str]:
    return project()["dependencies"] + project()["optional-dependencies"]["test"]


def test_environment_yml_has_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert environment[-1]["pip"] == requirements()
    assert f"python{project()['requires-python']}" in environment


def test_constraints_pin_every_package_inside_its_range():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all("==" in line for line in lines)
    pinned = {canonicalize_name(n): v for n, v in (line.split("==") for line in lines)}
    for text in requirements():
        requirement = Requirement(text)
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), text


def test_the_snakefile_is_short_and_parsing_imports_no_torch():
    assert (ROOT / "Snakefile").read_text().count("\n") <= 60
    code = (
        "import sys, bench3r.run.workflow, bench3r.run.paths\n"
        "print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_shipped_weights_have_their_papers():
    for weights in (ROOT / "bench3r" / "weights").glob("*.safetensors"):
        assert weights.stat().st_size <= 8_000_000
        assert weights.with_suffix(".csv").exists()
        record = yaml.safe_load(weights.with_suffix(".json").read_text())
        assert {
            "data",
            "generator_version",
            "steps_done",
            "scenes_seen",
            "seconds",
            "train",
            "provenance",
        } <= record.keys()
