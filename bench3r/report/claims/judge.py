"""One verdict for every claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench3r.report.claims import findings, measured, reproduction, rules
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.verdict import ELSEWHERE, Verdict
from bench3r.report.evidence import Evidence, RunEvidence

# by kind of rule the function that computes it, from the records of a run's first frame count ...
DIRECTIONS: dict[type, Callable[[Any, Claim, Ledger, Evidence], Verdict]] = {
    rules.Direction: measured.direction,
    rules.DirectionOptions: measured.direction_options,
    rules.BestOption: measured.best_option,
    rules.DepthShare: measured.depth_share,
    rules.DeeperOn: measured.deeper_on,
    rules.NoSteps: measured.no_steps,
    rules.PublishedExponent: measured.published_exponent,
}
# ... or from those under a paper's own conditions, whatever else the run holds
REPRODUCTIONS: dict[type, Callable[[Any, Claim, Ledger, RunEvidence], Verdict]] = {
    rules.Measured: reproduction.measured,
    rules.Ratio: reproduction.ratio,
    rules.Ordering: findings.ordering,
    rules.Knee: findings.knee,
    rules.Trend: reproduction.trend,
    rules.Growth: reproduction.growth,
    rules.LayerRange: findings.layer_range,
    rules.RunsOn: reproduction.runs_on,
    rules.Recorded: findings.recorded,
    rules.AddedParameters: findings.added_parameters,
}


def judge(claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """The verdict on a claim. Raises KeyError for a rule that names an unknown claim."""
    rule = claim.rule
    if isinstance(rule, rules.Arithmetic):
        return arithmetic(rule, ledger)
    if isinstance(rule, rules.Elsewhere):
        return Verdict(ELSEWHERE, f"what would judge it: `{rule.command}`")
    if type(rule) in REPRODUCTIONS:
        return REPRODUCTIONS[type(rule)](rule, claim, ledger, run)
    return DIRECTIONS[type(rule)](rule, claim, ledger, run.first)
