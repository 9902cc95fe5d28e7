"""Every golden file of the scoring rules, and what happens to files that are none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.metrics import scannet50
from bench3r.parity.check import check_file
from tests.conftest import GOLDEN


@pytest.mark.parametrize("case", sorted(p.stem for p in GOLDEN.glob("p[0-9]_*.json")))
def test_protocols_equal_the_official_code(case):
    """Every output of the golden metric files, computed again from their inputs."""
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[3] == "FAIL"]
    assert sum(r[3] == "pass" for r in rows) >= 7


def test_a_wrong_metric_fails_parity(monkeypatch):
    monkeypatch.setattr(scannet50, "VOXEL", 0.06)
    assert not check_file(GOLDEN / "p3_scannet_room.json")[1]


def test_an_unknown_protocol_is_named(tmp_path):
    case = json.loads((GOLDEN / "p5_traj.json").read_text())
    (tmp_path / "x.npz").write_bytes((GOLDEN / "p5_traj.npz").read_bytes())
    (tmp_path / "x.json").write_text(json.dumps({**case, "protocol": "12: of tomorrow"}))
    with pytest.raises(
        Bench3RError, match=r"protocol '12: of tomorrow' is unknown: expected a number from 1 to 9"
    ):
        check_file(tmp_path / "x.json")
    np.savez(tmp_path / "x.npz", in_gt_c2w=np.eye(4)[None])
    (tmp_path / "x.json").write_text(json.dumps(case))
    with pytest.raises(Bench3RError, match="lacks the array in_pred_c2w"):
        check_file(tmp_path / "x.json")
