"""The page and the claims ledger of a finished run; in Chromium where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bench3r.report import claims
from bench3r.run import paths
from bench3r.run.config import parse_config
from bench3r.run.plan import make_plan
from bench3r.stages.collect import write_tables
from bench3r.stages.report import report
from tests.helpers.in_process import run_all

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CONFIG = {
    "name": "page",
    "methods": {"vggt": {}, "spatial_mor": {}, "oracle": {}},
    "finetune": {"steps": 2, "warmup": 1},
    "ablations": {"max_depth": {"method": "spatial_mor", "options": {"max_depth": [2, 3]}}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 2, "views": 3}},
    "frames": [3],
    "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    """The reports folder of a small run."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("page")
    patch.chdir(folder)
    run_all(make_plan(parse_config(CONFIG, "page.yaml")))
    patch.undo()
    return folder / "reports"


def test_the_page_is_whole_and_needs_no_network(reports):
    text = (reports / "page" / "index.html").read_text()
    assert len(text) < 10e6
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?https?:", text)
    assert 'href="page/index.html"' in (reports / "index.html").read_text()
    data = json.loads(
        re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)[1]
    )
    (scene,) = data["scenes"].values()
    assert {"VGGT", "SpatialMoR"} <= set(scene["methods"])
    assert all(set(m) >= {"xyz", "error", "cameras"} for m in scene["methods"].values())
    assert "depth" in scene["methods"]["SpatialMoR"]
    first = data["tables"][0][0]
    assert first["method"] == "vggt"
    assert all((reports.parent / r).is_file() for r in first["records"]), "a cell's records exist"
    assert first["git"] is not None
    assert len({p["method"] for p in data["pareto"]}) >= 2


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
def test_a_report_bears_any_hole(reports, tmp_path, monkeypatch, lost):
    shutil.copytree(reports.parent / "results", tmp_path / "results")
    for pattern in LOST[lost]:
        found = list((tmp_path / "results").glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(tmp_path)
    plan, out = make_plan(parse_config(CONFIG, "page.yaml")), tmp_path / "reports/page/index.md"
    paths.collected("page").parent.mkdir(exist_ok=True)
    write_tables(plan, paths.collected("page"))
    report(plan, paths.collected("page"), out)
    text = out.read_text()
    assert ("the job was lost or has not run" in text) == (lost != "every training")
    assert not re.search(r"\b(nan|NaN|inf)\b|\| None ", text)


TRY = """
<script>addEventListener("load", () => setTimeout(() => {
  const out = {}, table = document.querySelector("table[data-table]"), first = () => table.tBodies[0].rows[0].cells[0].textContent;
  const header = table.querySelectorAll("th button")[0];
  header.click(); out.up = first(); header.click(); out.down = first();
  const box = document.getElementById("filter"); box.value = "oracle"; box.dispatchEvent(new Event("input"));
  out.shown = [...table.tBodies[0].rows].filter((r) => !r.hidden).length; out.all = table.tBodies[0].rows.length;
  table.querySelector("td").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
  out.dialog = document.getElementById("origin").open; out.facts = document.querySelectorAll("#origin-body tr").length;
  document.getElementById("origin").close(); document.getElementById("theme").click();
  out.drawn = !!document.querySelector("#cloud-plot canvas"); out.pareto = document.querySelectorAll("#pareto-plot .point").length;
  document.title = "TRIED " + JSON.stringify(out);
}, 1500)); addEventListener("error", (e) => { document.title = "ERROR " + e.message; });</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_works_in_chromium(reports, tmp_path):
    """Tables sort and filter, a cell tells its origin, plot and viewer draw, and nothing is said on the console."""
    page = tmp_path / "try.html"
    page.write_text(
        (reports / "page" / "index.html").read_text().replace("</head>", TRY + "</head>")
    )
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--virtual-time-budget=15000",
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)[1].replace("&quot;", '"')
    assert title.startswith("TRIED"), title
    tried = json.loads(title.removeprefix("TRIED "))
    assert tried["up"] != tried["down"]
    assert tried["up"].lower() < tried["down"].lower()
    assert 0 < tried["shown"] < tried["all"]
    assert tried["dialog"]
    assert tried["facts"] > 5
    assert tried["drawn"]
    assert tried["pareto"] >= 2
    assert not re.search(r"CONSOLE.*(error|Error|Uncaught)", done.stderr), done.stderr[-2000:]


def test_every_claim_has_a_rule_and_gets_a_verdict(reports):
    table = (reports / "page" / "tables" / "claims.csv").read_text()
    assert claims.HOLDS in table
    assert claims.FAILS in table
    assert claims.SAME in table or claims.OTHER in table or claims.UNDECIDED in table
    ids = {c["id"] for c in claims.ledger()["claims"]}
    assert len(ids) == len(claims.ledger()["claims"]) > 200
    for claim in claims.ledger()["claims"]:
        assert claim["rule"]["kind"] in claims.RULES, claim["id"]
        assert claim["rule"]["kind"] != "elsewhere" or claim["rule"]["command"]
    assert "verdict" not in yaml.safe_dump(claims.ledger()), "no verdict is typed by hand"


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"op": "ratio", "of": [10, 2], "expect": 5, "within": 0.1}, claims.HOLDS),
        ({"op": "ratio", "of": [10, 2], "expect": 6, "within": 0.1}, claims.FAILS),
        ({"op": "reduction", "of": [80, 100], "expect": [18, 22], "within": 0}, claims.HOLDS),
        ({"op": "increasing", "of": [1, 3, 2], "expect": True, "within": 0}, claims.FAILS),
        ({"op": "largest_below", "of": [0.5, 2], "expect": 1, "within": 0}, claims.FAILS),
        (
            {
                "op": "reduction",
                "of": ["SM-T4-D2-flops", "SM-T2-VGGT-flops"],
                "expect": "SM-T4-D2-speedup",
                "within": 0.5,
            },
            claims.HOLDS,
        ),
    ],
)
def test_arithmetic_of_claims(rule, verdict):
    assert claims.arithmetic(rule).verdict == verdict


def test_contradictions_are_recomputed():
    rows = claims.contradictions_table().raw.set_index("id")
    assert rows.loc["X02", "recomputed"] == "confirmed"
    assert "1.69" in rows.loc["X02", "numbers"]
    assert set(rows["recomputed"]) <= {"confirmed", "–", "agrees after all"}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_all_tables_compile_in_latex(reports, tmp_path):
    tables = sorted((reports / "page" / "tables").glob("*.tex"))
    assert len(tables) > 8
    inputs = "\n".join(f"\\input{{{t}}}\\clearpage" for t in tables)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        f"\\usepackage{{booktabs,graphicx,longtable}}\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:]
