"""The report once more from its records: nothing differs, and whatever is changed is found."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench3r.measure.pairs import paired_ratio
from bench3r.metrics.statistics import discoveries, mean_interval
from bench3r.metrics.statistics import effect_size as shipped_effect_size
from benchmarks.recompute import intervals
from benchmarks.recompute.__main__ import main
from benchmarks.recompute.rules import RULES
from tests.conftest import ROOT

SCENES = (2, 3, 5, 6, 9, 12, 13, 30)


@pytest.fixture
def copy(reports, page_plan, tmp_path) -> Path:
    """A copy of the small run that a test may spoil."""
    shutil.copytree(reports.parent / "results" / "page", tmp_path / "results")
    shutil.copytree(reports / "page" / "tables", tmp_path / "page" / "tables")
    (tmp_path / "plan.json").write_text(json.dumps(page_plan.model_dump(mode="json")))
    return tmp_path


def recomputed(folder: Path, capsys) -> tuple[int, str]:
    """The exit code and what was printed."""
    capsys.readouterr()
    code = main(
        ["--plan", str(folder / "plan.json"), "--results", str(folder / "results")]
        + ["--report", str(folder / "page")]
    )
    return code, capsys.readouterr().out


def test_every_cell_of_the_report_follows_from_the_records(copy, capsys):
    code, printed = recomputed(copy, capsys)
    assert code == 0, printed
    last = printed.splitlines()[-1]
    compared = int(last.split()[0])
    assert compared > 500, printed
    assert "no rule" not in printed.rsplit("\n", 2)[0]
    listed = {line.split()[0] for line in printed.splitlines() if not line.startswith(" ")}
    assert {path.stem for path in (copy / "page" / "tables").glob("*.csv")} <= listed


def test_a_cell_that_says_something_else_is_found(copy, capsys):
    path = copy / "page" / "tables" / "table2.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("pi3_pointmap/chamfer_norm/high", "flops_per_scene", "n"):
        spoilt = [dict(row) for row in rows]
        spoilt[0][column] = str(float(rows[0][column]) * (1 + 1e-6))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(spoilt)
        code, printed = recomputed(copy, capsys)
        assert code == 1
        assert f"vggt, {column}: the table has" in printed


def test_a_record_that_says_something_else_is_found(copy, capsys):
    score = next((copy / "results" / "score").glob("vggt.*.jsonl"))
    lines = [json.loads(line) for line in score.read_text().splitlines()]
    for line in lines:
        if "chamfer_norm" in line["metrics"]:
            line["metrics"]["chamfer_norm"] += 0.01
            break
    score.write_text("\n".join(map(json.dumps, lines)))
    code, printed = recomputed(copy, capsys)
    assert code == 1
    assert "vggt, pi3_pointmap/chamfer_norm/mean" in printed


def test_a_time_that_was_measured_otherwise_is_found(copy, capsys):
    path = next((copy / "results" / "profile").glob("spatial_mor.*.json"))
    cost = json.loads(path.read_text())
    cost["seconds"] = [2 * second for second in cost["seconds"]]
    path.write_text(json.dumps(cost))
    code, printed = recomputed(copy, capsys)
    assert code == 1
    assert "spatial_mor, time_ratio:" in printed


def test_nothing_of_the_report_or_its_statistics_is_used():
    for path in (ROOT / "benchmarks" / "recompute").glob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith(("import", "from")):
                assert "bench3r.report" not in line, path
                assert "bench3r.metrics.statistics" not in line, path
                assert "bench3r.measure.pairs" not in line, path
    assert callable(RULES[".*"])


@pytest.mark.parametrize("n", SCENES)
@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_written_twice_are_the_same(n, weighted):
    rng = np.random.default_rng(n)
    weights = rng.uniform(0.5, 2, n) if weighted else None
    for values in (rng.normal(size=n), rng.exponential(size=n) - 0.8, np.full(n, 0.3)):
        shipped = mean_interval(values, weights)
        own = intervals.estimate(list(values), None if weights is None else list(weights))
        np.testing.assert_allclose(own, [*shipped[:4], shipped.p], rtol=1e-9, atol=1e-12)
        assert own.excludes_zero == shipped.excludes_zero
        if n > 2:
            mine = intervals.effect_size(values)
            np.testing.assert_allclose(mine, shipped_effect_size(values, np.zeros(n)))


@pytest.mark.parametrize("n", [4, 6, 9, 20])
def test_families_written_twice_are_the_same(n):
    rng = np.random.default_rng(n)
    shifts = (0, 0.5, 1, 3, 3)
    table = [rng.normal(shift, 1, n - place % 2) for place, shift in enumerate(shifts)]
    own = intervals.adjusted([intervals.estimate(list(values)) for values in table])
    np.testing.assert_allclose(own, discoveries([mean_interval(v) for v in table]), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 25])
def test_paired_times_written_twice_are_the_same(n):
    rng = np.random.default_rng(n)
    seconds = np.exp(np.cumsum(rng.normal(0, 0.1, n)))
    reference = rng.uniform(0.8, 1.2, n)
    shipped = paired_ratio(list(seconds), list(reference))
    own = intervals.paired_time(list(seconds), list(reference))
    assert shipped is not None
    assert own is not None
    np.testing.assert_allclose(own[:4], shipped[:4], rtol=1e-9)
    assert "; ".join(own.doubts) == shipped.suspect
