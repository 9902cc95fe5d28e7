"""One verdict for every claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench3r.report.claims import (
    depths,
    directions,
    findings,
    published,
    ratios,
    reproduction,
    rules,
    rules_here,
)
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.corrections import corrected
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.verdict import Verdict, elsewhere
from bench3r.report.evidence import Evidence, RunEvidence

# by kind of rule the function that computes it, from the records of a run's first frame count ...
HERE: dict[type, Callable[[Any, Claim, Ledger, Evidence], Verdict]] = {
    rules_here.Direction: directions.direction,
    rules_here.Compared: directions.compared,
    rules_here.Every: directions.every,
    rules_here.BestOption: depths.best_option,
    rules_here.DepthShare: depths.depth_share,
    rules_here.DeeperOn: depths.deeper_on,
    rules_here.NoSteps: depths.no_steps,
    rules_here.Collapse: depths.collapse,
    rules.PublishedExponent: published.published_exponent,
}
# ... or from those under a paper's own conditions, whatever else the run holds
REPRODUCTIONS: dict[type, Callable[[Any, Claim, Ledger, RunEvidence], Verdict]] = {
    rules.Measured: reproduction.measured,
    rules.Ratio: ratios.ratio,
    rules.Ordering: findings.ordering,
    rules.Knee: findings.knee,
    rules.Trend: ratios.trend,
    rules.Growth: reproduction.growth,
    rules.LayerRange: findings.layer_range,
    rules.RunsOn: ratios.runs_on,
    rules.Recorded: findings.recorded,
    rules.AddedParameters: findings.added_parameters,
}


def judge(claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """The verdict on a claim by itself, before any family is corrected.

    Raises KeyError for a rule that names an unknown claim.
    """
    rule = claim.rule
    if isinstance(rule, rules.Arithmetic):
        return arithmetic(rule, ledger)
    if isinstance(rule, rules.Elsewhere):
        command = f"; measured by `{rule.command}`" if rule.command else ""
        return elsewhere(f"{rule.why}{command}")
    if type(rule) in REPRODUCTIONS:
        return REPRODUCTIONS[type(rule)](rule, claim, ledger, run)
    return HERE[type(rule)](rule, claim, ledger, run.first)


def judge_all(ledger: Ledger, run: RunEvidence) -> dict[str, Verdict]:
    """The verdict on every claim by its id, families of tests corrected.

    Raises KeyError for a rule that names an unknown claim.
    """
    verdicts = [judge(claim, ledger, run) for claim in ledger.claims]
    return dict(zip(ledger.by_id, corrected(verdicts), strict=True))
