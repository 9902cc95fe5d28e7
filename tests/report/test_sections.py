"""Sections: found in their order, and each bears a run that has nothing for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.report.evidence import RunEvidence
from bench3r.report.section import SECTIONS, Canvas, all_sections
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.stages.report import report
from tests.helpers.evidence import evidence, rows

ALWAYS = {
    "main": ["table2"],
    "differences": ["table2_differences"],
    "regions": ["table3"],
    "detail": ["detail"],
    "datasets": ["dataset_d"],
}
ABOUT_NO_RUN = ("claims", "published", "estimates", "reference")  # what they say needs no records


def test_a_file_is_a_section_and_they_have_an_order():
    sections = all_sections()
    assert [s.name for s in sections] == [
        s.name for s in sorted(sections, key=lambda s: (s.order, s.name))
    ]
    assert set(SECTIONS.files()) == {s.name for s in sections}
    assert sections[0].name == "main"
    assert [s.name for s in sections if s.appendix] == ["datasets"]


@pytest.fixture(scope="module")
def controls_only() -> RunEvidence:
    """A run of one control: nothing was timed, routed or trained."""
    raw = {
        "name": "x",
        "methods": {"oracle": {}},
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    plan = make_plan(parse_config(raw, "test"))
    table = rows({"oracle": [0.1, 0.2]}).assign(cell=plan.cells[0].id)
    e = evidence(table)
    e.plan = plan
    return RunEvidence(plan, table, [e], [], Path("nowhere/records.parquet"))


@pytest.mark.parametrize("name", sorted(SECTIONS.files()))
def test_every_section_bears_a_run_of_controls(controls_only, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    section = SECTIONS.get(name)
    if name not in ABOUT_NO_RUN:
        found = [table.name for table in section.tables(controls_only)]
        assert found == ALWAYS.get(name, [])
    if name == "scenes":
        return  # reads predictions, which this run does not have
    for figure in section.draw(Canvas(controls_only, tmp_path)):
        assert figure.path.is_file()


def test_a_report_without_records_says_what_to_do(tmp_path):
    with pytest.raises(Bench3RError, match="start it"):
        report(None, tmp_path / "records.parquet", tmp_path / "index.md")
    assert not list(tmp_path.iterdir())
