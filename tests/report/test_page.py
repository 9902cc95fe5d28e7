"""The page of a finished run; in Chromium where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


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


# clicks through the page as a reader does; the title says what happened
TRY = """
<script>
addEventListener("error", (e) => { document.title = "ERROR " + e.message; });
addEventListener("load", () => setTimeout(() => {
  const by = (id) => document.getElementById(id);
  const count = (what) => document.querySelectorAll(what).length;
  const table = document.querySelector("table[data-table]");
  const rows = () => [...table.tBodies[0].rows];
  const first = () => rows()[0].cells[0].textContent;
  const out = {};
  const header = table.querySelectorAll("th button")[0];
  header.click();
  out.up = first();
  header.click();
  out.down = first();
  by("filter").value = "oracle";
  by("filter").dispatchEvent(new Event("input"));
  out.shown = rows().filter((r) => !r.hidden).length;
  out.all = rows().length;
  table.querySelector("td").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
  out.dialog = by("origin").open;
  out.facts = count("#origin-body tr");
  by("origin").close();
  by("theme").click();
  out.drawn = !!document.querySelector("#cloud-plot canvas");
  out.pareto = count("#pareto-plot .point");
  document.title = "TRIED " + JSON.stringify(out);
}, 1500));
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_works_in_chromium(reports, tmp_path):
    """Tables sort and filter, a cell tells its origin, plots draw, the console stays silent."""
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
