"""A report of whatever is left of a run, and its tables in LaTeX."""

from __future__ import annotations

import re
import shutil

import pytest

from bench3r.run import paths
from bench3r.stages.collect import write_tables
from bench3r.stages.report import report
from tests.helpers.latex import compiled, needs_latex, too_wide

LOST = {  # globs below results/
    "everything": ["*"],
    "all but the data": ["page/*"],
    "every prediction": ["page/predict/*", "page/score/*"],
    "every score": ["page/score/*"],
    "every profile": ["page/profile/*"],
    "every training": ["page/train/*"],
    "the backbone": ["page/*/vggt.*"],
    "all but the control": ["page/*/vggt.*", "page/*/spatial_mor*"],
}


@pytest.mark.parametrize("lost", LOST)
def test_a_report_bears_any_missing_result(reports, page_plan, tmp_path, monkeypatch, lost):
    shutil.copytree(reports.parent / "results", tmp_path / "results")
    for pattern in LOST[lost]:
        found = list((tmp_path / "results").glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "reports/page/index.md"
    paths.collected("page").parent.mkdir(exist_ok=True)
    write_tables(page_plan, paths.collected("page"))
    report(page_plan, paths.collected("page"), out)
    text = out.read_text()
    assert ("the job was lost or has not run" in text) == (lost != "every training")
    assert not re.search(r"\b(nan|NaN|inf)\b|\| None ", text)


@needs_latex
@pytest.mark.parametrize("compact", [False, True])
def test_all_tables_compile_in_latex(reports, tmp_path, compact):
    """Compact tables in two columns, full ones in one."""
    found = sorted((reports / "page" / "tables").glob("*.tex"))
    files = [file for file in found if file.stem.endswith("_compact") == compact]
    assert len(files) > 8
    log = compiled([file.read_text() for file in files], 1 + compact, tmp_path)
    assert not too_wide(log, 12), too_wide(log, 12)
