"""Numbers that papers report: methods declare them, and they are never mixed with ours."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.presentation import Reported
from bench3r.report.evidence import methods


def all_reported() -> Iterator[Reported]:
    """What every method declares of its paper."""
    for method in methods().values():
        yield from method.reported


def titled(title: str, table: str) -> str:
    """``title`` with what our ``table`` is in a paper, where one is named."""
    for reported in all_reported():
        if table in reported.tables:
            title += f" ({reported.paper}'s {reported.tables[table]})"
    return title


def reported_row(label: str, reported: Reported) -> dict[str, str]:
    """The start of a row that a paper reports of the method called ``label``."""
    return {"method": f"{label}, reported by {reported.paper}"}
