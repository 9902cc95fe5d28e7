"""Core operations of methods and pairwise models, against the stored outputs of official code."""

from __future__ import annotations

import pytest

from bench3r.files import read_json
from bench3r.parity.check import check_file
from tests.conftest import GOLDEN

PAIRWISE = ["dust3r-linear-small", "dust3r-ga"]
METHODS = sorted(p.stem for p in GOLDEN.glob("*.json") if read_json(p).get("kind") == "method")


@pytest.mark.parametrize("case", [*METHODS, *PAIRWISE])
def test_outputs_equal_the_official_code(case):
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r.verdict == "FAIL"]
    judged = [r for r in rows if r.verdict == "pass"]
    assert len(judged) >= (5 if case.startswith("mor_") else 2)
