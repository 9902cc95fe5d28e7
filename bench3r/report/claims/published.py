"""Verdicts from the closed form of FLOPs at published size: no weights, no device, no record."""

from __future__ import annotations

import numpy as np

from bench3r.api.method import METHODS, cost_of
from bench3r.models.catalogue import reference_backbone, unchanged_cost
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.rules import PublishedExponent
from bench3r.report.claims.verdict import FLOPS_AGREE, FLOPS_DIFFER, Verdict
from bench3r.report.evidence import Evidence

SCALE = "full"
FRAMES = (300, 1000)  # between which exponents at published size are taken


def published_exponent(
    rule: PublishedExponent, claim: Claim, ledger: Ledger, e: Evidence
) -> Verdict:
    """How FLOPs grow with frames at published size."""
    method = METHODS.get(rule.method)()
    macs = []
    for frames in FRAMES:
        unchanged = unchanged_cost(reference_backbone(), SCALE, frames)
        macs.append(cost_of(method, unchanged).macs)
    few, many = FRAMES
    slope = float(np.log(macs[1] / macs[0]) / np.log(many / few))
    good = abs(slope - rule.expect) <= rule.within
    source = f"closed form `cost` of methods/{rule.method}.py at scale {SCALE}; no record"
    return Verdict(
        FLOPS_AGREE if good else FLOPS_DIFFER,
        found=f"exponent {slope:.2f} of FLOPs at published size between {few} and {many:,} frames",
        test="FLOPs computed in closed form; time was not measured",
        threshold=f"{rule.expect:g} ± {rule.within:g}",
        n=len(FRAMES),
        unit="counts of frames",
        records=(source,),
    )
