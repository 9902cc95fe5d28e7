"""Missing results: a value that a measured cost lacks is listed with its reason."""

from __future__ import annotations

from types import SimpleNamespace

from bench3r.report.costs import NOT_COUNTED
from bench3r.report.evidence import Setting
from bench3r.report.missing import missing_table
from tests.helpers.evidence import cost, evidence, rows

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
FAST = Setting("fast", "Fast", "plugin", "{}", "vggt")


def test_a_value_that_is_missing_stands_among_the_missing_results():
    """ "Every planned cost is measured" is said when it is true, and not of NaN FLOPs."""
    uncounted = cost(FAST, seconds=[1.0], peak_rss_bytes=1e6)
    whole = cost(DENSE, seconds=[1.0], flops=1.0, peak_rss_bytes=1e6)
    table = rows({"vggt": [0.1]})
    run = SimpleNamespace(by_frames=[evidence(table, costs=[whole, uncounted])], table=table)
    found = missing_table(run)
    (row,) = found.raw.to_dict("records")
    assert (row["label"], row["metric"], row["reason"]) == (
        "Fast",
        "FLOPs of 4 frames",
        NOT_COUNTED,
    )
    assert "every planned cost is measured" not in found.caption
    run.by_frames = [evidence(table, costs=[whole])]
    assert "every planned cost is measured" in missing_table(run).caption
