"""One verdict for every claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench3r.report.claims import measured, rules
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.verdict import ELSEWHERE, Verdict
from bench3r.report.evidence import Evidence

# by kind of rule the function that computes it
JUDGES: dict[type, Callable[[Any, Claim, Ledger, Evidence], Verdict]] = {
    rules.Direction: measured.direction,
    rules.DirectionOptions: measured.direction_options,
    rules.BestOption: measured.best_option,
    rules.DepthShare: measured.depth_share,
    rules.DeeperOn: measured.deeper_on,
    rules.NoSteps: measured.no_steps,
    rules.PublishedExponent: measured.published_exponent,
}


def judge(claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """The verdict on a claim. Raises KeyError for a rule that names an unknown claim."""
    rule = claim.rule
    if isinstance(rule, rules.Arithmetic):
        return arithmetic(rule, ledger)
    if isinstance(rule, rules.Elsewhere):
        return Verdict(ELSEWHERE, f"what would judge it: `{rule.command}`")
    return JUDGES[type(rule)](rule, claim, ledger, e)
