"""Validate: a whole data root, shown as a table."""

from __future__ import annotations

from rich.table import Table

from bench3r.data.validate import SHOWN, RootReport

LEFT = ("scene", "sizes")
COLUMNS = ("scene", "frames", "read", "sizes", "depth", "surface", "reprojection", "problems")
MISSING = "–"


def _percent(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}%}"


def root_table(report: RootReport) -> Table:
    """One row per scene."""
    table = Table(title=f"{report.dataset}: {report.root}", title_justify="left")
    for column in COLUMNS:
        justify = "left" if column in LEFT else "right"
        table.add_column(column, no_wrap=column == "scene", justify=justify)  # type: ignore[arg-type]
    for row in report.details:
        table.add_row(
            row.scene,
            str(row.frames),
            str(row.read),
            ", ".join(row.sizes),
            _percent(row.depth_coverage, 0),
            f"{row.surface:,}" if row.surface else MISSING,
            _percent(row.reprojection_error, 2),
            str(max(len(row.problems), row.unreadable)),
        )
    return table


def problems(report: RootReport) -> list[str]:
    """Everything that is wrong, one line each."""
    lines = []
    for row in report.details:
        lines += [f"  {row.scene}: {problem}" for problem in row.problems]
        if row.unreadable > SHOWN:
            count = f"{row.unreadable} frames cannot be read"
            lines.append(f"  {row.scene}: {count}; the first {SHOWN} are shown")
    return lines


def summary(report: RootReport) -> str:
    """What was read, in one line."""
    return (
        f"{report.scenes} scenes, {report.frames} frames with poses, {report.read} read, "
        f"{len(report.broken)} scenes with problems"
    )
