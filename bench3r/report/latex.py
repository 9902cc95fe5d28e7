"""Tables as LaTeX: one for a page of one column, one for papers of two; both with booktabs.

``tables/NAME.tex`` breaks over pages where it has to and carries all notes under it;
``tables/NAME_compact.tex`` fits one or both columns of a paper, and has its notes as comments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from bench3r.report.latex_text import (
    breakable,
    in_lines,
    latex_text,
    pieces,
    points,
    short_caption,
    stacked,
    units_in_heads,
)

SENTENCE = 60  # letters of a cell that still is no sentence
PAGE = 45  # rows that fit on one page
COLUMN = 250.0  # points of a paper's column; both are 516 in IEEE's and CVPR's
BOTH = 512.0
GAP = 6.0  # points between two columns of a table
TEXT_FROM = 110.0  # points from which on a column of words breaks into lines
FIRST = 120.0  # points that the names of rows take at most
NARROWEST = 40.0  # points of a column of words
RAGGED = r">{\raggedright\arraybackslash}"  # narrow columns are not stretched to both edges
AFTER_CAPTION = "\\par\\smallskip"
LINES = 52  # of a float that still leaves room for its caption


class Printed(Protocol):
    """What is printed of a table."""

    name: str
    title: str
    caption: str
    shown: pd.DataFrame
    notes: list[str]


class Table(Protocol):
    """What is written: a table as :mod:`bench3r.report.tables` has it."""

    name: str
    title: str
    caption: str
    shown: pd.DataFrame
    notes: list[str]


def full(table: Printed) -> str:
    """For a document of one column; needs the packages booktabs, array, graphicx, longtable.

    Scaled to the width of the text when wider; tables of sentences, or longer than a page, break
    over pages instead.
    """
    shown = units_in_heads(table.shown)
    longest = shown.astype(str).map(len).to_numpy().max(initial=0)
    if longest <= SENTENCE and len(shown) <= PAGE:
        return _on_one_page(table, shown)
    return _over_pages(table, shown)


def _head(table: Printed) -> str:
    """Caption and label."""
    caption = latex_text(short_caption(table.title, table.caption))
    return f"\\caption{{{caption}}}\\label{{tab:{table.name.replace('_', '-')}}}"


def _notes(table: Printed) -> str:
    """What the table stands on and its notes, a paragraph each."""
    return "".join(f"\\par {latex_text(note)}\n" for note in (table.caption, *table.notes))


def _rows(shown: pd.DataFrame) -> list[str]:
    """The rows of a table, without its head."""
    cells = shown.map(breakable)
    return [" & ".join(row) + r" \\" for row in cells.itertuples(index=False)]


def _tabular(shown: pd.DataFrame, shape: str) -> str:
    """Head and rows between booktabs' rules."""
    heads = " & ".join(map(stacked, shown.columns)) + r" \\"
    body = ["\\toprule", heads, "\\midrule", *_rows(shown), "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{shape}}}", *body, "\\end{tabular}"])


def _on_one_page(table: Printed, shown: pd.DataFrame) -> str:
    rows = _tabular(shown, "l" + "r" * (shown.shape[1] - 1))
    width = r"\ifdim\width>\linewidth\linewidth\else\width\fi"
    return (
        f"\\begin{{table}}\n{_head(table)}\n{AFTER_CAPTION}\\small\n"
        f"\\resizebox{{{width}}}{{!}}{{%\n{rows}}}\n"
        f"\\footnotesize\n{_notes(table)}\\end{{table}}\n"
    )


def _over_pages(table: Printed, shown: pd.DataFrame) -> str:
    natural = _natural_widths(shown)
    widths, _ = _text_widths(shown, natural, np.full(len(natural), True))
    shares = 0.96 * widths / widths.sum()
    shape = "".join(f"{RAGGED}p{{{share:.3f}\\linewidth}}" for share in shares)
    heads = " & ".join(map(latex_text, shown.columns)) + r" \\"
    body = ["\\toprule", heads, "\\midrule", "\\endhead", *_rows(shown), "\\bottomrule"]
    return (
        "{\\footnotesize\\setlength{\\tabcolsep}{2pt}\n"
        f"\\begin{{longtable}}{{{shape}}}\n{_head(table)}\\\\\n"
        + "\n".join(body)
        + f"\n\\end{{longtable}}\n{_notes(table)}}}\n"
    )


class Block(NamedTuple):
    """Columns of a table that stand beside each other, and how wide they are together."""

    rows: pd.DataFrame
    shape: str  # of the tabular
    width: float  # points
    lines: list[int]  # of text, by row


def compact(table: Printed) -> str:
    """For a paper of two columns; needs the packages booktabs and array.

    In one column where it fits, else across both; what is wider still continues below with its
    first column repeated, what is longer than a page in a float of its own.
    """
    floats = []
    blocks = _blocks(units_in_heads(table.shown))
    star = "" if max(block.width for block in blocks) <= COLUMN else "*"
    for start, stop in _pages(blocks):
        parts = [_tabular(block.rows.iloc[start:stop], block.shape) for block in blocks]
        head = _head(table) if start == 0 else f"\\caption{{{latex_text(table.title)}, continued.}}"
        floats.append(
            f"\\begin{{table{star}}}[t]\n{head}\n{AFTER_CAPTION}\\centering\\footnotesize"
            "\\setlength{\\tabcolsep}{3pt}\n" + "\\par\\medskip\n".join(parts) + "\n"
            f"\\end{{table{star}}}\n"
        )
    comments = "".join(f"% {' '.join(note.split())}\n" for note in (table.caption, *table.notes))
    return "".join(floats) + comments


def _blocks(shown: pd.DataFrame) -> list[Block]:
    """The columns of ``shown`` in as few blocks as the width of a page allows."""
    natural = _natural_widths(shown)
    words = [_is_text(shown, place) for place in range(shown.shape[1])]
    text = np.array(words) & (natural > TEXT_FROM)
    if natural.sum() > COLUMN and text[1:].any():
        return [_of_text(shown, natural, natural > TEXT_FROM)]
    natural[0] = min(natural[0], FIRST)
    first = f"{RAGGED}p{{{FIRST - GAP:.0f}pt}}" if natural[0] == FIRST else "l"
    lines = [math.ceil(1.1 * points(cell) / FIRST) for cell in shown.iloc[:, 0]]
    blocks = []
    for chosen in _packed(natural):
        shape = first + "r" * (len(chosen) - 1)
        blocks.append(Block(shown.iloc[:, chosen], shape, float(natural[chosen].sum()), lines))
    return blocks


def _natural_widths(shown: pd.DataFrame) -> np.ndarray:
    """Widths of columns in points [N]: of the widest cell, or line of the head, and the gap."""
    found = []
    for place, head in enumerate(shown.columns):
        widest = max(map(points, in_lines(head)))
        found.append(max([widest, *map(points, shown.iloc[:, place])]) + GAP)
    return np.array(found)


def _is_text(shown: pd.DataFrame, place: int) -> bool:
    """Whether most of the letters of a column belong to words."""
    cells = "".join(map(str, shown.iloc[:, place]))
    return sum(map(str.isalpha, cells)) > len(cells) / 2


def _packed(widths: np.ndarray) -> list[list[int]]:
    """Columns of ``widths`` [N] in as few blocks as fit a page, all of about the same width."""
    count = len(_greedy(widths, BOTH))
    limit = COLUMN if widths.sum() <= COLUMN else BOTH
    for narrower in np.linspace(0.4 * BOTH, BOTH, 25):
        if count > 1 and len(_greedy(widths, float(narrower))) == count:
            limit = float(narrower)
            break
    return _greedy(widths, limit)


def _greedy(widths: np.ndarray, limit: float) -> list[list[int]]:
    """Blocks of ``widths`` [N] filled one after the other; each begins with the first column."""
    found: list[list[int]] = [[0]]
    for place in range(1, len(widths)):
        if len(found[-1]) > 1 and widths[found[-1]].sum() + widths[place] > limit:
            found.append([0])
        found[-1].append(place)
    return found


def _of_text(shown: pd.DataFrame, natural: np.ndarray, text: np.ndarray) -> Block:
    """All columns across the page, of ``natural`` widths [N]; those of ``text`` share the rest."""
    widths, text = _text_widths(shown, natural, text)
    shape = ""
    for width, long in zip(widths, text, strict=True):
        shape += f"{RAGGED}p{{{width:.0f}pt}}" if long else "l"
    cells = shown.map(points).to_numpy()
    lines = np.where(text, np.ceil(1.2 * cells / widths), 1).max(1, initial=1)
    return Block(shown, shape, BOTH, lines.astype(int).tolist())


def _text_widths(
    shown: pd.DataFrame, natural: np.ndarray, text: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Widths [N] of columns across the page, and which [N] break into lines.

    Columns of ``text`` [N] have what their longest word needs, and share what others leave by the
    root of their ``natural`` widths [N]; where that leaves too little, all break.
    """
    least = np.array([_longest_word(shown, place) + GAP for place in range(len(natural))])
    needed = natural[~text].sum() + np.maximum(least[text], NARROWEST).sum()
    if needed > BOTH:
        text = np.full(len(text), True)
    rest = max(0.0, BOTH - natural[~text].sum() - least[text].sum())
    wanted = np.where(text, np.sqrt(natural), 0)
    return np.where(text, least + rest * wanted / wanted.sum(), natural) - GAP, text


def _longest_word(shown: pd.DataFrame, place: int) -> float:
    """Points that no line of a column can be narrower than: of a word, or a line of the head."""
    words = [word for text in map(str, shown.iloc[:, place]) for word in pieces(text)]
    return max(map(points, [*in_lines(shown.columns[place]), *words]))


def _pages(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """First and last row of every float: as many as have room beside all blocks."""
    heights = [sum(lines) for lines in zip(*(block.lines for block in blocks), strict=True)]
    starts = [0]
    used = 0.0
    for row, height in enumerate(heights):
        used += height
        if used > LINES - 3 * len(blocks) and row > starts[-1]:
            starts.append(row)
            used = height
    return list(itertools.pairwise([*starts, len(heights)]))
