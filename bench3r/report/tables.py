"""Tables as Markdown, CSV and LaTeX with captions that say what the numbers stand on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench3r.files import write_text
from bench3r.report.columns import without_signed_zero

MISSING = "–"
SENTENCE = 60  # letters of a cell that still is no sentence
PAGE = 45  # rows that fit on one page


def number(value: float | None, form: str) -> str:
    """``value`` in the format ``form``, zero without a sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    return without_signed_zero(format(value, form))


@dataclass
class Table:
    """A table ready to be written: shown cells, raw values, caption, notes under it."""

    name: str
    title: str
    caption: str
    shown: pd.DataFrame
    raw: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    chapter: str = ""  # the question that it helps to answer; filled by its section

    def markdown(self) -> str:
        """Title, caption, table and notes."""
        notes = "".join(f"\n- {note}" for note in self.notes)
        table = self.shown.to_markdown(index=False)
        return f"## {self.title}\n\n{self.caption}\n\n{table}\n{notes}\n"

    def latex(self) -> str:
        """A complete table; needs the packages booktabs, graphicx and longtable.

        Scaled to the width of the text when wider; tables of sentences, or longer than a page,
        break over pages instead.
        """
        body = self.shown.map(latex_text).rename(columns=latex_text)
        lengths = [self._length(column) for column in self.shown]
        if max(lengths, default=0) <= SENTENCE and len(body) <= PAGE:
            return self._on_one_page(body)
        return self._over_pages(body, lengths)

    def _length(self, column: str) -> float:
        """Letters of the longest cell; heads may break into two lines."""
        cells = self.shown[column].astype(str).str.len().tolist()
        return max([*cells, len(str(column)) / 2])

    def _latex_caption(self) -> str:
        return f"\\caption{{{latex_text(self.title)}. {latex_text(self.caption)}}}"

    def _latex_notes(self) -> str:
        return "".join(f"\\par {latex_text(note)}\n" for note in self.notes)

    def _on_one_page(self, body: pd.DataFrame) -> str:
        shape = "l" + "r" * (body.shape[1] - 1)
        rows = body.to_latex(index=False, escape=False, column_format=shape)
        width = r"\ifdim\width>\linewidth\linewidth\else\width\fi"
        scaled = f"\\resizebox{{{width}}}{{!}}{{%\n{rows}}}"
        return (
            f"\\begin{{table}}\n{self._latex_caption()}\n\\small\n{scaled}\n"
            f"\\footnotesize\n{self._latex_notes()}\\end{{table}}\n"
        )

    def _over_pages(self, body: pd.DataFrame, lengths: list[float]) -> str:
        weights = [min(max(length, 6), 60) for length in lengths]
        shape = "".join(f"p{{{0.92 * w / sum(weights):.3f}\\linewidth}}" for w in weights)
        head = " & ".join(body.columns) + r" \\"
        rows = body.itertuples(index=False, name=None)
        lines = "\n".join(" & ".join(row) + r" \\" for row in rows)
        return (
            "{\\footnotesize\\setlength{\\tabcolsep}{2pt}\n"
            f"\\begin{{longtable}}{{{shape}}}\n{self._latex_caption()}\\\\\n"
            f"\\toprule\n{head}\n\\midrule\n\\endhead\n{lines}\n"
            f"\\bottomrule\n\\end{{longtable}}\n{self._latex_notes()}}}\n"
        )

    def write(self, folder: Path) -> None:
        """Write NAME.md, NAME.csv (raw values) and NAME.tex."""
        write_text(folder / f"{self.name}.md", self.markdown())
        write_text(folder / f"{self.name}.csv", self.raw.to_csv(index=False))
        write_text(folder / f"{self.name}.tex", self.latex())


_ESCAPED = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "²": "$^2$",
    "≈": r"$\approx$",
    "†": r"$\dagger$",
    "τ": r"$\tau$",
    "π": r"$\pi$",
    "³": "$^3$",
    "×": r"$\times$",
    "ρ": r"$\rho$",
    "Δ": r"$\Delta$",
    "δ": r"$\delta$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "`": "",
}


def latex_text(text: object) -> str:
    """Markdown text as LaTeX: bold, underlined second best, escaped characters."""
    escaped = "".join(_ESCAPED.get(c, c) for c in str(text))
    escaped = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)
    return re.sub(r"(?<!\w)\\_(\S[^_]*?)\\_(?!\w)", r"\\underline{\1}", escaped)
