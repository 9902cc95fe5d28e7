"""The claims ledger, and where papers contradict themselves or each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM
from bench3r.report.captions import run_caption
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.judge import judge_all
from bench3r.report.claims.ledger import Claim, Contradiction, ledger
from bench3r.report.claims.rules import Arithmetic
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    FAILS,
    HALF,
    HOLDS,
    IDLE,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    Verdict,
)
from bench3r.report.evidence import RunEvidence
from bench3r.report.section import Section
from bench3r.report.tables import MISSING, Table

COPIED = (  # fields of a claim that its raw row repeats
    "id",
    "paper",
    "statement",
    "quantity",
    "unit",
    "conditions",
    "source_table",
    "evidence",
    "note",
)
STATED = ("found", "test", "n", "unit", "threshold", "missing", "family", "p")  # of a verdict
NOTES = [
    f'"{REPRODUCED}", "{PARTLY}" (of several numbers not all could be measured) and '
    f'"{CONTRADICTED}" are about records at the published scale, on the paper\'s data, frames and '
    "class of device.",
    '"here" means in this run, at its scale and on its data (see the caption): it says nothing '
    "about published sizes.",
    f'"{HOLDS}", "{HALF}" (a rest of the claim cannot be computed) and "{FAILS}" come from the '
    "reported numbers alone, each with its rounding.",
    f'"{UNDECIDED}": measured, but the test does not decide. Of fewer than {MARKS_FROM} scenes '
    f'nothing is decided. "{IDLE}": what the claim is about had no effect in this run.',
    "Statements are in our own words, with the place where the paper has them. Intervals over "
    "scenes are those of all tables: exact sign-flips and the studentised bootstrap. Thresholds "
    "that are ours and not the paper's say so.",
]


def claim_tables(run: RunEvidence) -> Iterator[Table]:
    """The claims, judged by the records of the run or left open, and the contradictions."""
    if run.by_frames:
        yield from ledger_tables(run)
    yield contradictions_table()


def ledger_tables(run: RunEvidence) -> Iterator[Table]:
    """Claims with a verdict, and the others with what would judge them.

    Directions are judged by the first frame count, numbers by that of the paper.
    """
    book = ledger()
    verdicts = judge_all(book, run)
    e = run.first
    judged: list[tuple[Claim, Verdict]] = []
    others: list[tuple[Claim, Verdict]] = []
    for claim in book.claims:
        verdict = verdicts[claim.id]
        (judged if verdict.judged else others).append((claim, verdict))
    notes = [_tally(verdicts.values()), *NOTES, *_families(verdicts.values())]
    yield Table(
        f"claims{e.suffix}",
        "Claims ledger",
        run_caption(e),
        pd.DataFrame([_shown(claim, verdict) for claim, verdict in judged]),
        pd.DataFrame([_raw(claim, verdict) for claim, verdict in judged]),
        notes,
    )
    yield Table(
        f"claims_open{e.suffix}",
        "Claims that this run cannot judge",
        run_caption(e),
        pd.DataFrame([_open(claim, verdict) for claim, verdict in others]),
        pd.DataFrame([_raw(claim, verdict) for claim, verdict in others]),
        chapter="appendix",
    )


def _tally(verdicts: Iterable[Verdict]) -> str:
    """How many claims have each verdict."""
    words = pd.Series([verdict.verdict for verdict in verdicts])
    counts = "; ".join(f"{word}: {count}" for word, count in words.value_counts().items())
    open_words = sum(not verdict.judged for verdict in verdicts)
    return (
        f"{len(words) - open_words} of {len(words)} claims are judged ({counts}). The others, with "
        "what would judge them, are in a table of their own."
    )


def _families(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """The families of tests that were corrected together."""
    found: dict[str, set[str]] = {}
    for verdict in verdicts:
        if verdict.judged and verdict.family:
            found.setdefault(verdict.family, set()).add(verdict.comparison)
    if found:
        listed = "; ".join(f"{name} ({len(members)})" for name, members in found.items())
        yield (
            "Tests of one family are corrected together: over scenes by the larger p value of "
            "joint sign-flips and of Holm over the studentised bootstrap, else by Holm. Families "
            f"with their number of comparisons: {listed}."
        )


def _raw(claim: Claim, verdict: Verdict) -> dict[str, object]:
    row: dict[str, object] = claim.model_dump(include=set(COPIED))
    row["value"] = json.dumps(claim.value)
    row["rule"] = claim.rule.kind
    row["verdict"] = verdict.verdict
    for name in STATED:
        row["n_of" if name == "unit" else name] = getattr(verdict, name)
    row["records"] = "; ".join(verdict.records)
    return row


def _shown(claim: Claim, verdict: Verdict) -> dict[str, str]:
    return {
        "claim": _quoted(claim),
        "verdict": verdict.shown,
        "reported": claim.reported,
        "found": verdict.found or MISSING,
        "test": verdict.test or MISSING,
        "n": verdict.count or MISSING,
        "threshold": verdict.threshold or MISSING,
        "missing": verdict.missing or MISSING,
    }


def _open(claim: Claim, verdict: Verdict) -> dict[str, str]:
    return {
        "claim": _quoted(claim),
        "verdict": verdict.shown,
        "reported": claim.reported,
        "missing": verdict.missing,
    }


def _quoted(claim: Claim) -> str:
    """The statement with its place in the paper."""
    return f"{claim.statement} ({claim.place})"


def contradictions_table() -> Table:
    """Every contradiction, recomputed from the papers' own numbers where they gave any."""
    raw = pd.DataFrame(map(_contradiction, ledger().contradictions))
    return Table(
        name="contradictions",
        title="Contradictions inside and between papers",
        caption="From the papers' own numbers; nothing here was measured by Bench3R.",
        shown=raw.drop(columns=["id", "records"]),
        raw=raw,
        notes=[
            "recomputed: the numbers that should agree, looked up among the claims and compared "
            f"again with their rounding; {MISSING} where the contradiction is one of words."
        ],
    )


def _contradiction(entry: Contradiction) -> dict[str, str]:
    row = {
        "id": entry.id,
        "paper": entry.paper,
        "about": entry.topic,
        "what": entry.statement,
        "recomputed": MISSING,
        "numbers": MISSING,
        "records": "",
    }
    if isinstance(entry.rule, Arithmetic):
        verdict = arithmetic(entry.rule, ledger())
        agrees = verdict.verdict != FAILS
        row["recomputed"] = "agrees after all" if agrees else "confirmed"
        row["numbers"] = f"{verdict.found}; would agree: {verdict.threshold}"
        row["records"] = "; ".join(verdict.records)
    return row


SECTION = Section("claims", 230, "claims", run_tables=claim_tables)
