"""The page of a finished run as a file: whole, small, in chapters, with the origin of every cell."""

from __future__ import annotations

import json
import re

import pytest

MOST = 3e6  # bytes of the page without its scenes


@pytest.fixture(scope="module")
def text(reports) -> str:
    return (reports / "page" / "index.html").read_text()


def data_of(text: str, name: str) -> dict:
    pattern = rf'<script id="{name}-data" type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, text, re.S)[1])


def test_the_page_is_whole_and_needs_no_network(reports, text):
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", text)
    assert "url(" not in text
    assert 'href="page/index.html"' in (reports / "index.html").read_text()


def test_without_its_scenes_the_page_is_small(text):
    scenes = re.search(r'<script id="scenes-data".*?</script>', text, re.S)[0]
    assert len(text.encode()) - len(scenes) < MOST


def test_scenes_have_the_points_of_every_method(text):
    (scene,) = data_of(text, "scenes").values()
    assert {"VGGT", "SpatialMoR"} <= set(scene["methods"])
    assert all(set(m) >= {"xyz", "error", "cameras"} for m in scene["methods"].values())
    with_depth = [name for name, cloud in scene["methods"].items() if "depth" in cloud]
    assert with_depth == [name for name in scene["methods"] if name.startswith("SpatialMoR")]


def test_every_file_that_a_cell_comes_from_exists(reports, text):
    origins = data_of(text, "origins")
    files = [f for s in origins["sources"] for f in (*s["scores"], *s["costs"])]
    assert files
    assert all((reports.parent / name).is_file() for name in files)
    main = next(t for t in origins["tables"] if t["name"] == "table2")
    source = origins["sources"][main["sources"][0]]
    assert source["costs"], "time and FLOPs have a record of their own"
    assert source["facts"]["git"]


def test_the_sidebar_lists_chapters_and_the_answer_comes_first(text):
    nav = re.search(r"<nav.*?</nav>", text, re.S)[0]
    top = re.sub(r"<li>\s*<a[^>]*>[^<]*</a>\s*<ol>.*?</ol>", "<li>", nav, flags=re.S)
    assert 'href="#answer"' in nav
    assert top.count("<li>") <= 20
    main = text[text.index("<main>") :]
    assert main.index('id="answer"') < main.index('id="pareto"') < main.index('id="table-table2"')
    assert 'id="table-missing"' in main


def test_headers_and_cells_are_labelled_for_screen_readers(text):
    tables = re.findall(r"<table [^>]*data-table.*?</table>", text, re.S)
    assert len(tables) > 5
    for table in tables:
        assert re.match(r'<table role="grid"[^>]* aria-label="[^"]+"', table)
        assert table.count('scope="row"') == table.count("<tr") - 1
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", text))
    ids = re.findall(r'\bid="([^"]+)"', text[: text.index('<script id="origins-data"')])
    assert len(ids) == len(set(ids))
