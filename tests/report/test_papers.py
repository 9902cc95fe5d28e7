"""Papers' tables as they lay them out: what ships is sound, and cells are filled or say why not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.report.claims.ledger import ledger
from bench3r.report.columns import column_of
from bench3r.report.evidence import RunEvidence, methods
from bench3r.report.layouts import Paper, all_papers, read_paper
from bench3r.report.missing import NONE, metric_text, missing_table
from bench3r.report.paper_grid import printed_numbers
from bench3r.report.papers import chapter_of, with_papers
from bench3r.report.section import CHAPTERS, PAPERS, all_sections
from bench3r.report.settings import Setting
from bench3r.report.tables import Table
from tests.helpers.evidence import cell, cost, evidence, rows

CD = column_of("pi3_pointmap/chamfer_norm")
PLANNED = {paper.key: paper for paper in all_papers()}
ROWS = [(p.key, t.number, r) for p in PLANNED.values() for t in p.tables for r in t.rows]


def test_five_papers_ship_each_of_a_method():
    assert set(PLANNED) == {"spatial_mor", "lite3r", "spark3r", "vgg_t3", "fastvggt"}
    assert set(PLANNED) <= set(methods())


@pytest.mark.parametrize(("key", "number", "row"), ROWS)
def test_every_row_has_a_printed_number_for_every_column(key, number, row):
    (table,) = [t for t in PLANNED[key].tables if t.number == number]
    assert len(printed_numbers(row)) == len(table.columns)
    assert not row.method or row.method in methods()


def test_every_column_is_a_metric_that_there_is():
    for paper in PLANNED.values():
        for table in paper.tables:
            for column in table.columns:
                assert column.why or column.cost or column_of(column.metric)


def test_every_claimed_table_of_a_paper_has_a_layout():
    """A table whose numbers are claims cannot be left out of its paper's chapter."""
    names = {"SpatialMoR-VGGT": "spatial_mor", "VGG-T3": "vgg_t3"}
    for claim in ledger().claims:
        key = names.get(claim.paper, claim.paper.lower())
        if key in PLANNED and claim.source_table.startswith("Table"):
            numbers = {table.number.split(",")[0] for table in PLANNED[key].tables}
            assert claim.source_table in numbers, claim.id


def test_a_broken_layout_names_its_file_and_what_is_wrong(tmp_path):
    path = tmp_path / "new.yaml"
    path.write_text("name: N\ntables: [{number: T, title: t}]\n")
    with pytest.raises(Bench3RError, match=r"new.yaml.*expected rows and columns, ours, or why"):
        read_paper(path)
    path.write_text("name: N\ntables: [{number: T, title: t, why: w, row: []}]\n")
    with pytest.raises(Bench3RError, match=r"new.yaml.*row"):
        read_paper(path)
    path.write_text("- a\n")
    with pytest.raises(Bench3RError, match="no layout"):
        read_paper(path)


DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
OWN = Setting("mor", "MoR", "plugin", "{}", "vggt")
PAPER = {
    "name": "New",
    "key": "mor",
    "tables": [
        {"number": "Table 1", "title": "words", "ours": ["mine*"]},
        {
            "number": "Table 2",
            "title": "numbers",
            "columns": [
                {"title": "CD", "metric": CD.key},
                {"title": "s", "cost": "time"},
                {"title": "far", "metric": CD.key, "dataset": "kitti"},
                {"title": "long", "metric": CD.key, "frames": 1000},
            ],
            "rows": [
                {"label": "base", "method": "vggt", "values": [1.5, 2.0, 3.0, "OOM"]},
                {"label": "new", "method": "mor", "values": [1.4, 1.0, None, 4.0]},
                {"label": "other", "values": [9.0, 9.0, 9.0, 9.0]},
            ],
        },
        {"number": "Table 3", "title": "no", "why": "not measurable"},
    ],
}


def run() -> RunEvidence:
    """A backbone and a method on three scenes, one of them timed."""
    parts = []
    cells = []
    for setting, values in ((DENSE, [0.1, 0.2, 0.3]), (OWN, [0.2, 0.2, 0.2])):
        parts.append(rows({setting.method: values}, column=CD).assign(**setting._asdict()))
        cells.append(cell(setting))
    e = evidence(pd.concat(parts), cells=cells, costs=[cost(DENSE, seconds=[0.5, 0.5])])
    return RunEvidence(e.plan, e.table, [e], [], Path("nowhere/records.parquet"))


def made() -> dict[str, Table]:
    """The tables of a report with two tables of ours, by name."""
    empty = pd.DataFrame({"a": [1]})
    ours = [Table(name, name, "", empty, empty) for name in ("mine_f8", "kept")]
    found = with_papers(run(), ours, [Paper.model_validate(PAPER)])
    return {table.name: table for table in found}


def test_a_papers_table_is_filled_where_the_run_has_the_cell():
    table = made()["mor_table_2"]
    shown = table.shown.set_index("method")
    assert table.title == "New, Table 2: numbers"
    assert shown.loc["base"].tolist() == ["0.200 (1.5)", "0.5 (2)", "– (3)", "– (OOM)"]
    assert shown.loc["new"].tolist() == ["0.200 (1.4)", "– (1)", "–", "– (4)"]
    assert shown.loc["other", "CD"] == "– (9)"
    (why,) = [note for note in table.notes if note.startswith("Not covered")]
    assert "1 cell, KITTI is not in this run" in why
    assert "2 cells, 1,000 frames are not in this run" in why
    assert "4 cells, not among the methods here" in why
    assert "1 cell, its time was not measured" in why


def test_the_coverage_says_which_cells_and_why_not_the_rest():
    table = made()["paper_mor"]
    shown = table.shown.set_index("table")
    assert shown.loc["Table 1", "covered"] == "in our form: mine_f8"
    assert shown.loc["Table 2", "covered"] == "3 of 11 cells"
    assert shown.loc["Table 3", "why not the rest"] == "not measurable"


def test_tables_that_answer_a_paper_stand_in_its_chapter_with_its_number():
    tables = made()
    chapter = chapter_of(Paper.model_validate(PAPER))
    assert tables["mine_f8"].chapter == chapter
    assert tables["mine_f8"].title == "New, Table 1: mine_f8"
    assert tables["kept"].chapter == ""


def test_a_paper_whose_method_is_not_in_the_run_has_no_chapter():
    paper = Paper.model_validate({**PAPER, "key": "spark3r"})
    assert with_papers(run(), [], [paper]) == []


def test_every_section_helps_to_answer_a_question():
    chapters = {section.name: section.chapter for section in all_sections()}
    assert set(chapters.values()) <= set(CHAPTERS) - {PAPERS}
    assert [name for name, chapter in chapters.items() if chapter == "appendix"] == ["datasets"]


def test_what_is_missing_is_a_table_in_words():
    e = run().first
    e.table.loc[e.table["scene"].eq("s1"), ["value", "reason"]] = [float("nan"), "no depth"]
    e.table["label"] = "VGGT"
    table = missing_table(RunEvidence(e.plan, e.table, [e], [], Path("nowhere/r.parquet")))
    assert table.chapter == "missing"
    text = table.shown.to_string()
    assert "CD, π³'s point maps" in text
    assert "chamfer_norm" not in text
    assert "no depth" in text
    assert metric_text("any") == "any"


def test_a_value_that_a_measured_cost_lacks_is_missing():
    e = run().first
    table = missing_table(RunEvidence(e.plan, e.table, [e], [], Path("nowhere/r.parquet")))
    assert "FLOPs of 4 frames" in table.shown["what"].tolist()
    e.costs.clear()
    table = missing_table(RunEvidence(e.plan, e.table, [e], [], Path("nowhere/r.parquet")))
    assert table.caption == NONE
