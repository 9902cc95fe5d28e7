"""Numbers that papers report: methods declare them, and they are never mixed with ours."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.presentation import Reported
from bench3r.report.evidence import methods


def all_reported() -> Iterator[Reported]:
    """What every method declares of its paper."""
    for method in methods().values():
        yield from method.reported


def reported_row(label: str, reported: Reported) -> dict[str, str]:
    """The start of a row that a paper reports of the method called ``label``."""
    return {"method": f"{label}, reported by {reported.paper}"}
