"""The maximum frame count that fits in one pass, where a run searched for it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network
from bench3r.report.captions import setup_text
from bench3r.report.evidence import CostRow, RunEvidence
from bench3r.report.names import label_of
from bench3r.report.section import Section
from bench3r.report.tables import MISSING, Table
from bench3r.run.records import Probe

NOTE = (
    "Every frame count is tried in a process of its own, doubling until one fails, then bisecting "
    "to 5 %. Fails: more memory or time than the run's limits. One cold call each: for times see "
    "the cost over frames."
)


def largest_tables(run: RunEvidence) -> Iterator[Table]:
    """The table of the run's searches."""
    if run.largest:
        devices = pd.Series([search.device for search in run.largest], dtype=object)
        caption = setup_text(run.first, devices) if run.by_frames else ""
        yield largest_table(run.largest, caption)


def largest_table(searches: list[CostRow], about: str) -> Table:
    """The maximum frame count of every search, and what stopped the next probe."""
    raw = []
    shown = []
    for search in searches:
        probes = sorted(search.probes, key=lambda probe: probe.frames)
        best = next((probe for probe in reversed(probes) if probe.status == "ok"), None)
        worse = _first_that_failed(probes, search.largest or 0)
        stop = _reason(search, worse)
        seconds = best.seconds if best else None
        peak = best.bytes if best else None
        raw.append(
            {
                "method": search.method,
                "backbone": search.backbone,
                "options": search.options,
                "largest": search.largest,
                "seconds": seconds,
                "bytes": peak,
                "stopped_at": worse.frames if worse else None,
                "reason": stop,
            }
        )
        shown.append(
            {
                "method": _name(search, searches),
                "maximum frame count": MISSING if search.largest is None else f"{search.largest:,}",
                "one call (s)": f"{seconds:.3g}" if seconds else MISSING,
                "peak memory (GB)": f"{peak / 1e9:.2f}" if peak else MISSING,
                "what stopped it": stop,
            }
        )
    title = "Maximum frame count"
    return Table("largest", title, about, pd.DataFrame(shown), pd.DataFrame(raw), [NOTE])


def _first_that_failed(probes: list[Probe], largest: int) -> Probe | None:
    for probe in probes:
        if probe.status != "ok" and probe.frames > largest:
            return probe
    return None


def _reason(search: CostRow, worse: Probe | None) -> str:
    if not search.probes:
        return f"{search.status}: {search.reason}"
    if worse is None:
        return "the search ended there"
    return f"{worse.frames:,}: {worse.status}, {worse.reason}"


def _name(search: CostRow, searches: list[CostRow]) -> str:
    """Method, its settings where there are several, and its backbone."""
    everyone = [other.setting.values for other in searches if other.method == search.method]
    name = label_of(search.method, search.label, search.setting.values, everyone)
    network = label_of_network(search.backbone)
    return name if network == name else f"{name}, {network}"


SECTION = Section("largest", 200, "length", run_tables=largest_tables)
