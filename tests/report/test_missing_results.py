"""A report of whatever is left of a run, and its tables in LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from bench3r.run import paths
from bench3r.stages.collect import write_tables
from bench3r.stages.report import report

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


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_all_tables_compile_in_latex(reports, tmp_path):
    tables = sorted((reports / "page" / "tables").glob("*.tex"))
    assert len(tables) > 8
    inputs = "\n".join(f"\\input{{{t}}}\\clearpage" for t in tables)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        "\\usepackage{booktabs,graphicx,longtable}"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:]
