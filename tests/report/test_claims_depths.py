"""Claims on options and recursion depths in a run, judged by planted records."""

from __future__ import annotations

import pytest

from bench3r.report.claims.judge import judge
from bench3r.report.claims.ledger import ledger
from bench3r.report.claims.verdict import FAR, LACKING, NEAR, OTHER, SAME, UNDECIDED, Verdict
from bench3r.run.config import load_config
from bench3r.run.planner import make_plan
from tests.conftest import ROOT
from tests.helpers.published_run import PublishedRun

CD = "pi3_pointmap/chamfer_norm"
DATASETS = {"indoor": "scannet", "controlled": "dtu", "real-world": "mipnerf360"}
BALANCE = {"balance_weight": 0.0, "local_balance_weight": 0.0}


def run_with(
    histograms: dict[str, list[list[int]]], chosen: float | list[float] = 0.0, **options
) -> PublishedRun:
    """SpatialMoR with these patches per recursion depth (from 0) in the scenes of each type."""
    run = PublishedRun(scale="tiny", precision="fp32", base="shipped", datasets={})
    return add(run, histograms, chosen, **options)


def add(
    run: PublishedRun,
    histograms: dict[str, list[list[int]]],
    chosen: float | list[float] = 0.0,
    **options,
) -> PublishedRun:
    """Plant one setting of SpatialMoR."""
    for kind, scenes in histograms.items():
        facts = []
        for i, histogram in enumerate(scenes):
            share = chosen[i] if isinstance(chosen, list) else chosen
            fact = {"depth_histogram": histogram, "violations_before": share, "violations": 0.0}
            facts.append(fact)
        place = ("spatial_mor", "vggt", DATASETS[kind], 4)
        run.recorded(*place, facts, scene_type=kind, **options)
        run.scores(*place, {CD: [0.05] * len(scenes)}, procedural=True, **options)
    return run


def verdict_on(claim: str, run: PublishedRun) -> Verdict:
    """The verdict of the ledger on one claim."""
    book = ledger()
    return judge(book.by_id[claim], book, run.evidence())


def scenes(*shares: float, count: int = 9) -> list[list[int]]:
    """Histograms with these shares, in per cent, at depths 1, 2, 3 and 4; scenes differ a little."""
    found = []
    for i in range(count):
        histogram = [0, *(round(10 * share) for share in shares)]
        histogram[1] += i % 3
        found.append(histogram)
    return found


def test_a_share_is_near_by_its_own_size():
    """0.0 % against 7.7 % are 7.7 points apart, and nothing of what is claimed."""
    run = run_with({"indoor": scenes(38, 40, 22, 0)})
    nothing = verdict_on("SM-T5-ScanNet-D4", run)
    assert nothing.verdict == FAR
    assert "0.0" in nothing.found
    assert "7.7 ± 1.6 %" in nothing.threshold
    assert verdict_on("SM-T5-ScanNet-D1", run).verdict == NEAR
    assert verdict_on("SM-T5-ScanNet-D3", run).verdict == NEAR
    few = verdict_on("SM-T5-ScanNet-D4", run_with({"indoor": scenes(38, 40, 22, 0, count=3)}))
    assert few.shown == "cannot tell (n = 3)"


def test_steps_are_those_of_the_router_and_a_share():
    """1.5 % of the pairs, none of them after smoothing, which leaves none by construction."""
    found = verdict_on("SM-A7", run_with({"indoor": scenes(50, 50, 0, 0)}, chosen=0.015))
    assert found.verdict == OTHER
    assert "1.5 %" in found.found
    assert "by construction" in found.found
    one = [0.0] * 8 + [0.002]
    assert verdict_on("SM-A7", run_with({"indoor": scenes(50, 50, 0, 0)}, one)).verdict == OTHER
    assert verdict_on("SM-A7", run_with({"indoor": scenes(50, 50, 0, 0)})).verdict == SAME
    few = run_with({"indoor": scenes(50, 50, 0, 0, count=3)})
    assert verdict_on("SM-A7", few).verdict == UNDECIDED
    for fact in few.facts:
        fact["violations_before"] = None
    assert verdict_on("SM-A7", few).verdict == LACKING


def test_deeper_recursion_has_to_grow_beyond_what_scenes_differ_by():
    def run(deep: dict[str, list[float]]) -> PublishedRun:
        histograms = {}
        for kind, shares in deep.items():
            histograms[kind] = [[0, round(10 * (100 - s)), 0, round(10 * s), 0] for s in shares]
        return run_with(histograms)

    order = ("controlled", "indoor", "real-world")
    grows = dict(zip(order, ([1, 2, 3], [11, 12, 13], [21, 22, 23]), strict=True))
    assert verdict_on("SM-H4", run(grows)).verdict == SAME
    falls = dict(zip(reversed(order), grows.values(), strict=True))
    assert verdict_on("SM-H4", run(falls)).verdict == OTHER
    chance = dict(zip(order, ([1, 20, 9], [2, 21, 9.5], [3, 22, 9]), strict=True))
    found = verdict_on("SM-H4", run(chance))  # the means grow all the same
    assert (found.verdict, found.n) == (UNDECIDED, 9)


@pytest.mark.parametrize(
    ("without", "verdict"),
    [((96, 4, 0, 0), SAME), ((60, 40, 0, 0), OTHER), ((30, 70, 0, 0), OTHER)],
)
def test_collapse_without_balancing(without, verdict):
    run = run_with({"indoor": scenes(40, 40, 20, 0)})
    assert verdict_on("SM-H8", run).verdict == LACKING
    assert "config/paper.yaml" in verdict_on("SM-H8", run).missing
    add(run, {"indoor": scenes(*without)}, **BALANCE)
    found = verdict_on("SM-H8", run)
    assert (found.verdict, found.n) == (verdict, 9)


def alphas(values: dict[float, list[float]]) -> PublishedRun:
    """SpatialMoR with several alphas and their errors by scene."""
    run = PublishedRun(scale="tiny", precision="fp32", base="shipped", datasets={})
    for alpha, errors in values.items():
        place = ("spatial_mor", "vggt", "scannet", 4)
        run.scores(*place, {CD: errors}, procedural=True, alpha=alpha)
    return run


def test_the_best_value_of_an_option_is_better_than_the_others():
    """0.0645 against 0.0646 is no best value; three scenes decide none."""
    spread = [0.01 * (i - 4) for i in range(9)]
    wave = [0.004 * (-1) ** i for i in range(9)]
    close = {
        0.0: [0.0650 + s for s in spread],
        0.75: [0.0645 + s + w for s, w in zip(spread, wave, strict=True)],
        1.0: [0.0646 + s for s in spread],
    }
    assert verdict_on("SM-A4", alphas(close)).verdict == UNDECIDED
    clear = {**close, 0.75: [0.03 + s + w / 4 for s, w in zip(spread, wave, strict=True)]}
    assert verdict_on("SM-A4", alphas(clear)).verdict == SAME
    other = {**close, 1.0: [0.02 + s for s in spread]}
    assert verdict_on("SM-A4", alphas(other)).verdict == OTHER
    few = {alpha: errors[:3] for alpha, errors in clear.items()}
    found = verdict_on("SM-A4", alphas(few))
    assert found.shown == "cannot tell (n = 3)"


def test_the_configuration_of_the_paper_measures_what_claims_need():
    """lambda = 0 is in it, and patterns of sharing are compared at one number of recursions."""
    plan = make_plan(load_config(ROOT / "config" / "paper.yaml"))
    options = [cell.options for cell in plan.cells if "balance" in cell.tables]
    assert any(BALANCE.items() <= one.items() for one in options)
    sharing = [cell.options for cell in plan.cells if "mor_sharing" in cell.tables]
    assert {one["sharing"] for one in sharing} == {"cycle", "sequence", "middle_cycle"}
    assert len({(one["recursions"], one["max_depth"]) for one in sharing}) == 1
