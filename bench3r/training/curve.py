"""The training curve as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

# the usual columns, first in the file; a row leaves those empty that it does not have
CURVE = (
    "step",
    "seconds",
    "lr",
    "total",
    "camera",
    "depth",
    "point",
    "track",
    "matching",
    "gradient_norm",
    "scenes",
)


class Curve:
    """Appends rows; those after ``step`` (of a run that was killed) are dropped on opening.

    The usual columns come first; what a method adds (its losses, depths) follows as the first row
    names it.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.exists():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                rows = [r for r in reader if r.get("step") and int(r["step"]) <= step]
                self.columns = list(reader.fieldnames or [])
            self._write(rows)

    def _write(self, rows: list[dict[str, str]]) -> None:
        partial = self.path.with_suffix(".tmp")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, self.path)

    def add(self, row: Mapping[str, float]) -> None:
        """Append one row; columns that ``row`` lacks stay empty."""
        if not self.columns:
            self.columns = [*CURVE, *(k for k in row if k not in CURVE)]
            self._write([])
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(shown)
