"""Files of figures: a journal's widths and fonts, the same bytes for the same records."""

from __future__ import annotations

import re
import zlib

import pytest
from PIL import Image

from bench3r.report.figures.drawing import (
    DPI,
    ONE_COLUMN,
    POINT,
    SMALL,
    TWO_COLUMNS,
    log_ticks,
    panels,
    save,
    settle,
    wrapped,
)

PX = 3.0  # pixels that a rounded width may be off


def drawn(folder, width=ONE_COLUMN):
    """A small figure with text, saved."""
    figure, (axis,) = panels(1, 1, width, 2.0)
    axis.plot([1, 2], [1, 2])
    axis.set(xlabel="CD ↓ (median depths²)", ylabel="π³, block-sparse")
    return save(figure, folder, "one")


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMNS])
def test_files_have_the_width_of_their_columns(tmp_path, width):
    path = drawn(tmp_path, width)
    with Image.open(path) as image:
        assert abs(image.width - width * DPI) < PX
    pdf = path.with_suffix(".pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(width * POINT, abs=0.5)
    svg = path.with_suffix(".svg").read_text()
    size = re.search(r'width="([\d.]+)pt"', svg)
    assert size is not None
    assert float(size[1]) == pytest.approx(width * POINT, abs=0.5)


def test_fonts_of_a_pdf_are_truetype(tmp_path):
    pdf = drawn(tmp_path).with_suffix(".pdf").read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    text = pdf + b"".join(map(_inflated, streams))
    assert b"/FontFile2" in text
    assert b"/CIDFontType2" in text or b"/TrueType" in text
    assert b"/Type3" not in text


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_the_same_figure_gives_the_same_files(tmp_path):
    first = drawn(tmp_path / "a")
    again = drawn(tmp_path / "b")
    for suffix in (".pdf", ".svg", ".png"):
        assert first.with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()


def test_text_is_of_the_journals_size():
    figure, (axis,) = panels(1, 1, ONE_COLUMN, 2.0)
    axis.set(xlabel="x", title="t")
    assert axis.xaxis.label.get_fontsize() == 8
    assert axis.title.get_fontsize() == 8
    assert axis.get_xticklabels()[0].get_fontsize() == SMALL >= 7


@pytest.mark.parametrize(
    ("limits", "shown"),
    [((0.02, 0.3), "0.02"), ((0.001, 3), "0.1"), ((0.9, 1.4), "1"), ((1, 2000), "1000")],
)
def test_logarithmic_ticks_are_numbers_and_few(limits, shown):
    figure, (axis,) = panels(1, 1, ONE_COLUMN, 2.0)
    axis.set(xscale="log", xlim=limits)
    log_ticks(axis.xaxis)
    settle(figure)
    figure.canvas.draw()
    low, high = limits
    texts = []
    for tick in axis.xaxis.get_major_ticks():
        if low <= tick.get_loc() <= high:
            texts.append(tick.label1.get_text())
    assert shown in texts
    assert 2 <= len(texts) <= 7
    assert all(re.fullmatch(r"[\d.]+", text) for text in texts)


def test_long_names_break_before_their_options():
    assert wrapped("MASt3R (alignment global)") == "MASt3R\n(alignment global)"
    assert wrapped("VGGT") == "VGGT"
