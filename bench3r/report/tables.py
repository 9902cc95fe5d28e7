"""Tables as Markdown, CSV and LaTeX with captions that say what the numbers stand on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench3r.files import write_text
from bench3r.report import latex
from bench3r.report.columns import without_signed_zero

MISSING = "–"


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

    def write(self, folder: Path) -> None:
        """Write NAME.md, NAME.csv (raw values), NAME.tex and NAME_compact.tex."""
        write_text(folder / f"{self.name}.md", self.markdown())
        write_text(folder / f"{self.name}.csv", self.raw.to_csv(index=False))
        write_text(folder / f"{self.name}.tex", latex.full(self))
        write_text(folder / f"{self.name}_compact.tex", latex.compact(self))
