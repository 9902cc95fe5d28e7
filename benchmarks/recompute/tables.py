"""Tables of a report beside what their records say: every cell compared, or why not."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.recompute.costs import Value
from benchmarks.recompute.quality import Quality
from benchmarks.recompute.records import Part, Records, Setting

Row = dict[str, str]  # a line of a CSV
TOLERANCE = 1e-9  # relative: the order of sums
WORDS = "words, not numbers"
ABOUT_A_ROW = ("method", "label", "kind", "options", "backbone", "shown", "scene type", "training")
ABOUT_A_CELL = ("row", "column", "printed", "why_missing", "quantity", "dataset", "metric")
OTHER_NAMES = ("component", "layer", "order", "variant", "status", "reason")
NAMES = frozenset((*ABOUT_A_ROW, *ABOUT_A_CELL, *OTHER_NAMES))  # columns that are no numbers


@dataclass
class Outcome:
    """What became of the cells of one table."""

    table: str
    compared: int = 0
    wrong: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # cells by reason

    def compare(self, where: str, shown: str, found: Value) -> None:
        """Hold a cell of the CSV against what was found."""
        self.compared += 1
        if not same(shown, found):
            self.wrong.append(f"{where}: the table has {shown or 'nothing'}, the records {found}")


def same(shown: str, found: Value) -> bool:
    """Whether the cell of a CSV is the value ``found``."""
    if isinstance(found, str):
        return shown == found
    value = {"True": 1.0, "False": 0.0, "": math.nan}.get(shown)
    if value is None:
        try:
            value = float(shown)
        except ValueError:
            return False
    if found is None or math.isnan(found):
        return math.isnan(value)
    if math.isinf(found):
        return value == found
    return math.isclose(value, found, rel_tol=TOLERANCE, abs_tol=1e-12)


@dataclass
class Table:
    """A table of a report as it was written, and the records behind the report."""

    records: Records
    path: Path

    @property
    def name(self) -> str:
        """The table's name, without the frame count of runs with several."""
        return re.sub(r"_f\d+$", "", self.path.stem)

    @cached_property
    def rows(self) -> list[Row]:
        """The lines of its CSV."""
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def caption(self) -> str:
        """What it says that it stands on."""
        return self.path.with_suffix(".md").read_text().split("\n\n")[1]

    @property
    def datasets(self) -> set[str]:
        """The datasets that its caption names."""
        said = self.caption.split(" frames a scene")[0]
        labels = self.records.dataset_names()
        return {name for label, name in labels.items() if re.search(rf"\b{label}(?!\w)", said)}

    @property
    def frames(self) -> int:
        """The frame count that its caption names; the run's first where it names none."""
        found = re.search(r"(\d+) frames a scene", self.caption)
        return int(found[1]) if found else self.records.cells[0].frames

    @property
    def settings(self) -> list[Setting]:
        """The settings of its rows."""
        named = [r for r in self.rows if r.get("method") and "options" in r]
        found = [Setting(r["method"], r.get("backbone", ""), r["options"]) for r in named]
        return list(dict.fromkeys(found))

    @cached_property
    def part(self) -> Part:
        """The records of its rows' settings, on the datasets and frames of its caption."""
        return Part(self.records, self.settings, self.datasets, self.frames)

    def column(self, protocol: str, metric: str, part: Part | None = None) -> Quality:
        """A metric of all settings of ``part``, or of its own rows; found once."""
        part = part or self.part
        key = (protocol, metric, tuple(part.settings), frozenset(part.datasets))
        if key not in self._columns:
            self._columns[key] = Quality(part, protocol, metric)
        return self._columns[key]

    @cached_property
    def _columns(self) -> dict[object, Quality]:
        return {}


# what the cells of a table are by its records: by row the values of columns
Rule = Callable[[Table], list[dict[str, Value]]]


def outcome(table: Table, rule: Rule | str, reasons: dict[str, str]) -> Outcome:
    """What became of ``table`` under ``rule``, or why there is none.

    ``reasons``: by the end of a column's name why it has no rule.
    """
    out = Outcome(table.path.stem)
    if isinstance(rule, str):
        out.left_out[rule] = sum(sum(c not in NAMES for c in row) for row in table.rows)
        return out
    for row, found in zip(table.rows, rule(table), strict=True):
        about = " ".join(filter(None, [row.get(name, "")[:40] for name in ("method", "row")]))
        for column, shown in row.items():
            if column in found:
                out.compare(f"{about}, {column}", shown, found[column])
            elif column not in NAMES:
                why = next((r for end, r in reasons.items() if column.endswith(end)), "no rule")
                out.left_out[f"{why} ({column})"] += 1
    return out


def outcomes(records: Records, folder: Path, rules: dict[str, Rule | str]) -> Iterator[Outcome]:
    """What became of every table in ``folder``, by the first of ``rules`` that its name fits."""
    reasons = {"/verdict": WORDS, "layers": WORDS}
    for path in sorted(folder.glob("*.csv")):
        table = Table(records, path)
        fitting = [rule for name, rule in rules.items() if re.fullmatch(name, table.name)]
        yield outcome(table, fitting[0] if fitting else "no rule for this table", reasons)
