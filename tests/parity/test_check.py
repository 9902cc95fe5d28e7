"""How a golden file is read, who computes it again, and what its tolerances accept."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.parity.check import CHECKS, check_file, check_of, judge, tolerance_of
from bench3r.parity.golden import Tolerance, read_golden
from tests.conftest import GOLDEN


def copy_of(case, folder, **changes):
    """A golden file in ``folder`` with keys replaced, or removed where they are None."""
    raw = json.loads((GOLDEN / f"{case}.json").read_text()) | changes
    kept = {k: v for k, v in raw.items() if v is not None}
    (folder / "x.json").write_text(json.dumps(kept))
    shutil.copy(GOLDEN / f"{case}.npz", folder / "x.npz")
    return folder / "x.json"


def test_an_array_that_is_off_fails(tmp_path):
    path = copy_of("vggt-tiny", tmp_path)
    arrays = dict(np.load(GOLDEN / "vggt-tiny.npz"))
    arrays["depth"] = arrays["depth"] + np.float32(1e-3)
    np.savez(path.with_suffix(".npz"), **arrays)
    rows, passed = check_file(path)
    assert not passed
    assert [r.array for r in rows if r.verdict == "FAIL"] == ["depth"]


@pytest.mark.parametrize("drop", ["gates", "config", "kind"])
def test_a_missing_key_is_named(tmp_path, drop):
    path = copy_of("vggt-tiny", tmp_path, **{drop: None})
    with pytest.raises(Bench3RError, match=drop):
        check_file(path)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("mor_ec_eval", {"name": "mor_xx_eval"}, "unknown operation 'mor_xx_eval'"),
        ("pi3-small", {"model": "pi4"}, r"unknown model 'pi4' \(did you mean 'pi3'\?\)"),
        ("p5_traj", {"protocol": "later"}, "'later' is unknown: expected a number from 1 to 9"),
        ("lact_ns_tall", {"parameters": {"eps": 1e-7}}, "parameters: steps: field required"),
    ],
)
def test_what_nothing_here_computes_is_named(tmp_path, case, change, message):
    with pytest.raises(Bench3RError, match=message):
        check_file(copy_of(case, tmp_path, **change))


def test_a_missing_input_is_named(tmp_path):
    path = copy_of("lact_ns_tall", tmp_path)
    np.savez(path.with_suffix(".npz"), out_X_fp32=np.zeros(3))
    with pytest.raises(Bench3RError, match="lacks the array in_G"):
        check_file(path)


def test_every_golden_file_has_one_check():
    checks = CHECKS.all().values()
    words = Counter((c.kind, word) for c in checks for word in c.golden)
    assert set(words.values()) == {1}
    cases = [p for p in GOLDEN.glob("*.json") if p.with_suffix(".npz").exists()]
    used = {check_of(read_golden(p)).name for p in cases}
    assert used == set(CHECKS.all())


@pytest.mark.parametrize(
    ("tolerance", "ours", "good"),
    [
        ({"metric": "equal"}, [1.0, 2.0], True),
        ({"metric": "equal"}, [1.0, 2.1], False),
        ({"metric": "close", "atol": 0.1}, [1.0, 2.09], True),
        ({"metric": "close", "rtol": 0.1}, [1.0, 2.19], True),
        ({"metric": "close", "atol": 0.1}, [1.0, 2.11], False),
        ({"metric": "close", "atol": 0.1, "allow_fraction": 0.5}, [1.0, 9.0], True),
        ({"metric": "close", "atol": 9.0}, [1.0, np.nan], False),
        ({"metric": "relnorm", "tol": 0.1}, [1.0, 2.2], True),
        ({"metric": "relnorm", "tol": 0.01}, [1.0, 2.2], False),
        ({"metric": "log_close", "atol": 0.1}, [1.0, 2.2], True),
        ({"metric": "log_close", "atol": 0.01}, [1.0, 2.2], False),
        ({"metric": "close", "atol": 9.0}, [1.0], False),
    ],
)
def test_tolerances(tolerance, ours, good):
    limit = Tolerance(arrays="*", **tolerance)
    assert judge(np.array(ours), np.array([1.0, 2.0]), limit)[1] is good


def test_nan_equals_nan_and_nothing_else():
    limit = Tolerance(arrays="*", metric="close")
    both = np.array([np.nan, 1.0])
    assert judge(both, both, limit) == (0.0, True)


def test_the_first_tolerance_that_fits_decides():
    first = Tolerance(arrays="out_*", metric="close", atol=0.5)
    every = Tolerance(arrays="*", metric="equal")
    assert tolerance_of("out_x", [first, every], "x") is first
    assert tolerance_of("mid_x", [first, every], "x") is every
    assert first.text() == "close atol 0.5"
    with pytest.raises(Bench3RError, match="no tolerance for array 'mid_x'"):
        tolerance_of("mid_x", [first], "x")
