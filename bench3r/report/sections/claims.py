"""The claims ledger, and where papers contradict themselves or each other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from bench3r.report.captions import run_caption
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.judge import judge
from bench3r.report.claims.ledger import Claim, Contradiction, ledger
from bench3r.report.claims.rules import Arithmetic
from bench3r.report.claims.verdict import CONTRADICTED, HOLDS, REPRODUCED, Verdict
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
)


def claim_tables(run: RunEvidence) -> Iterator[Table]:
    """The claims, judged by the records of the run, and the contradictions."""
    if run.by_frames:
        yield claims_table(run)
    yield contradictions_table()


def claims_table(run: RunEvidence) -> Table:
    """Every claim with its verdict; those that could be judged are shown.

    Directions are judged by the first frame count, numbers by that of the paper.
    """
    book = ledger()
    e = run.first
    shown = []
    judged = []
    others = []
    for claim in book.claims:
        verdict = judge(claim, book, run)
        if verdict.judged:
            shown.append(_shown(claim, verdict))
            judged.append(_raw(claim, verdict))
        else:
            others.append(_raw(claim, verdict))
    raw = pd.DataFrame(judged + others)
    tally = "; ".join(f"{v}: {n}" for v, n in raw["verdict"].value_counts().items())
    notes = [
        f"{len(judged)} of {len(raw)} claims are judged ({tally}). The others, with what would "
        "judge them, are in claims.csv.",
        f'"{REPRODUCED}" and "{CONTRADICTED}" are about records at the published scale, on the '
        "paper's data, frames and class of device; each reason gives the tolerance and the number "
        "of scenes.",
        '"here" means in this run, at its scale and on its data (see the caption): it says nothing '
        "about published sizes.",
    ]
    name = f"claims{e.suffix}"
    return Table(name, "Claims ledger", run_caption(e), pd.DataFrame(shown), raw, notes)


def _raw(claim: Claim, verdict: Verdict) -> dict[str, object]:
    row: dict[str, object] = claim.model_dump(include=set(COPIED))
    row["value"] = json.dumps(claim.value)
    row["rule"] = json.dumps(claim.rule.model_dump(exclude_unset=True))
    row["verdict"] = verdict.verdict
    row["why"] = verdict.why
    return row


def _shown(claim: Claim, verdict: Verdict) -> dict[str, str]:
    return {
        "claim": claim.statement,
        "reported": claim.reported,
        "source": f"{claim.paper}, {claim.source_table}",
        "verdict": verdict.verdict,
        "why": verdict.why,
    }


def contradictions_table() -> Table:
    """Every contradiction, recomputed from the papers' own numbers where they gave any."""
    raw = pd.DataFrame(map(_contradiction, ledger().contradictions))
    return Table(
        name="contradictions",
        title="Contradictions inside and between papers",
        caption="From the papers' own numbers; nothing here was measured by Bench3R.",
        shown=raw.drop(columns="id"),
        raw=raw,
        notes=[
            "recomputed: the numbers that should agree, looked up among the claims and compared "
            f"again; {MISSING} where the contradiction is one of words."
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
    }
    if isinstance(entry.rule, Arithmetic):
        verdict = arithmetic(entry.rule, ledger())
        agrees = verdict.verdict == HOLDS
        row["recomputed"] = "agrees after all" if agrees else "confirmed"
        row["numbers"] = verdict.why
    return row


SECTION = Section("claims", 230, "claims", run_tables=claim_tables)
