"""What the page says of where a cell comes from, on planted records."""

from __future__ import annotations

import pandas as pd

from bench3r.report.evidence import Setting
from bench3r.report.page.chapters import chapters_of
from bench3r.report.page.origins import Origins
from bench3r.report.page.shown import shown_table
from bench3r.report.section import CHAPTERS, PAPERS, Figure
from bench3r.report.tables import Table
from tests.helpers.evidence import cost, evidence, rows

PLUGIN = Setting("mor", "MOR", "plugin", "{}", "vggt")


def origins_of(table: Table) -> tuple[dict, Origins]:
    records = rows({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]})
    records = records.assign(device="CPU", git="abc", weights="")
    costs = [cost(PLUGIN, cell="mor.f4", seconds=[3.0])]
    origins = Origins([evidence(records, costs=costs)])
    return origins.of_table(table, shown_table(table)), origins


def table(raw: dict, shown: dict, chapter: str = "methods") -> Table:
    return Table("t", "T", "", pd.DataFrame(shown), pd.DataFrame(raw), chapter=chapter)


def test_a_time_names_its_cost_record_beside_predictions_and_scores():
    raw = {"method": ["mor"], "options": ["{}"], "backbone": ["vggt"], "time_s": [3.0]}
    found, origins = origins_of(table(raw, {"method": ["MOR"], "Time (s)": ["3.00"]}))
    assert found["kinds"] == ["measured"]
    assert found["bound"] == {1: 3}
    source = origins.sources[found["sources"][0]]
    assert source["costs"] == ["results/made-up/profile/mor.f4.json"]
    assert source["scores"] == [
        "results/made-up/predict/mor.jsonl",
        "results/made-up/score/mor.jsonl",
    ]
    assert source["facts"]["device"] == ["CPU"]


def test_a_verdict_of_the_run_names_the_records_that_decided_it():
    """The files that its row names, and no others of the methods that it is about."""
    files = [
        "results/made-up/score/mor.jsonl",
        "results/made-up/predict/mor.jsonl",
        "results/made-up/profile/mor.f4.json",
    ]
    raw = {"statement": ["it is faster", "54 s", "not asked"], "method": ["vggt"] * 3}
    raw["records"] = ["; ".join(files), "computed from the reported numbers; no record", ""]
    shown = {"claim": raw["statement"], "verdict": ["holds here", "agrees", "open"]}
    found, origins = origins_of(table(raw, shown, "claims"))
    assert found["kinds"] == ["measured", "derived", "derived"]
    source = origins.sources[found["sources"][0]]
    assert (source["scores"], source["costs"]) == (files[:2], files[2:])
    assert source["facts"]["git"] == ["abc"]
    assert found["sources"][1:] == [-1, -1]


def test_flops_at_published_size_are_computed_and_name_no_records():
    raw = {"method": ["mor", "mor"], "label": ["MOR", "MOR"], "flops": [1.0, 2.0]}
    one = table(raw, {"method": ["MOR"], "1 frames": ["1"], "2 frames": ["2"]}, "published")
    found, _ = origins_of(one)
    assert (found["kinds"], found["sources"]) == (["computed"], [-1])
    assert found["places"] == [[0, 1]]


def test_a_row_that_a_paper_reports_is_not_measured():
    raw = {"method": ["mor"], "x": [3.0]}
    one = table(raw, {"method": ["MOR, reported by P", "MOR"], "x": ["(9)", "3"]})
    found, _ = origins_of(one)
    assert found["kinds"] == ["reported", "measured"]
    assert found["places"] == [[], [0]]


def test_what_names_no_method_is_derived():
    one = table({"paper": ["P"], "what": ["words"]}, {"paper": ["P"], "what": ["words"]})
    found, _ = origins_of(one)
    assert (found["kinds"], found["sources"]) == (["derived"], [-1])


def test_rows_of_one_setting_share_a_source():
    raw = {"method": ["mor", "mor"], "x": [1.0, 2.0]}
    one = table(raw, {"method": ["MOR", "MOR"], "x": ["1", "2"]})
    found, origins = origins_of(one)
    assert found["sources"] == [0, 0]
    assert len(origins.sources) == 1


def test_chapters_of_papers_stand_where_papers_are_asked_for():
    empty = pd.DataFrame()
    made = [Table(c, c, "", empty, empty, chapter=c) for c in ("claims", "A paper?", "methods")]
    folded = Table("f", "f", "", empty, empty)
    found = chapters_of(made, [folded], [Figure("a figure", None, True, "scenes")])
    assert [c.key for c in found] == ["methods", "A paper?", "claims", "scenes", "appendix"]
    order = list(CHAPTERS)
    assert order.index("methods") < order.index(PAPERS) < order.index("claims")
    assert [c.appendix for c in found][-1] == [folded]
