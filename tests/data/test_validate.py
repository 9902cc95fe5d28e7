"""A whole data root is read and checked before anything is computed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.data.validate import validate
from tests.conftest import ROOT
from tests.helpers.procedural import write_root


def test_a_good_root_has_no_problems(tmp_path):
    root = write_root("scannet", tmp_path / "scannet")
    good = validate("scannet", root, tmp_path / "report.json", workers=1)
    assert good.broken == []
    (row,) = good.details
    assert (row.frames, row.read, row.unreadable) == (3, 3, 0)
    assert row.sizes == ["160x120"]
    assert row.depth_coverage == 1
    assert row.reprojection_error < 0.01
    assert row.surface > 1000


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(Bench3RError, match="data root"):
        validate("scannet", tmp_path / "nowhere", tmp_path / "report.json")


def test_the_command_lists_what_is_broken(tmp_path):
    root = write_root("scannet", tmp_path / "scannet")
    out = tmp_path / "report.json"
    second = root / "scene9999_00"
    shutil.copytree(root / "scene9000_00", second)
    (second / "color" / "1.jpg").write_bytes(b"broken")
    np.savetxt(second / "pose" / "2.txt", np.diag([1, 2, 1, 1]))
    command = [sys.executable, "-m", "bench3r", "prepare", "scannet"]
    command += ["--root", str(root), "--out", str(out), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1, done.stderr
    assert "color/1.jpg: unreadable image" in done.stdout
    assert "pose/2.txt: the pose is not a rigid" in done.stdout
    assert "scanned surface is missing" in done.stdout
    report = json.loads(out.read_text())
    assert report["broken"] == ["scene9999_00"]
    assert report["details"][1]["unreadable"] == 2
