"""Claims of how many times faster or worse, judged by planted records under papers' conditions."""

from __future__ import annotations

import pytest

from bench3r.report.claims.judge import judge
from bench3r.report.claims.ledger import ledger
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    ELSEWHERE,
    HALF,
    HOLDS,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    Verdict,
)
from tests.helpers.published_run import A100, H20, SCANNET, PublishedRun

SEVEN = {"seven_scenes": {"root": "/data/7scenes"}}
ATE = "trajectory_evo/ate"


def verdict_on(claim: str, run: PublishedRun) -> Verdict:
    """The verdict of the ledger on one claim, by the planted run."""
    book = ledger()
    return judge(book.by_id[claim], book, run.evidence())


@pytest.mark.parametrize(("dense", "expected"), [(1160.0, REPRODUCED), (300.0, CONTRADICTED)])
def test_a_speed_up_is_taken_from_calls_in_turn(dense, expected):
    run = PublishedRun(datasets=SCANNET)
    run.cost("vggt", "vggt", 1000, H20, seconds=[9.0])  # of another process
    in_turn = {"seconds": [41.0, 41.2, 40.9], "reference_seconds": [dense, dense + 1, dense - 1]}
    run.cost("spark3r", "vggt", 1000, H20, **in_turn)
    found = verdict_on("SP-H1", run)
    assert found.verdict == expected
    assert "(3 pairs)" in found.found
    assert found.records == tuple(
        f"results/planted/profile/{name}.vggt.1000.json" for name in ("vggt", "spark3r")
    )


def test_times_that_do_not_decide_are_no_reproduction():
    run = PublishedRun(datasets=SCANNET)
    run.cost("vggt", "vggt", 1000, H20, seconds=[1160.0])
    run.cost("spark3r", "vggt", 1000, H20, seconds=[41.0], reference_seconds=[1160.0])
    assert verdict_on("SP-H1", run).verdict == UNDECIDED, "one pair has no interval"
    run.costs.pop()
    run.cost("spark3r", "vggt", 1000, H20, seconds=[41.0, 41.1, 41.2])
    alone = verdict_on("SP-H1", run)
    assert alone.verdict == HOLDS, "seconds of two processes are not compared"
    assert "not timed in turn" in alone.missing


def test_two_changed_methods_are_compared_over_their_common_backbone():
    """V3-H4: FastVGGT against VGG-T³, each in turn with VGGT; seconds alone would say 1.0."""
    run = PublishedRun(datasets=SCANNET)
    turns = {"reference_seconds": [600.0, 601.0, 599.0]}
    run.cost("fastvggt", "vggt", 1000, A100, seconds=[240.0, 241.0, 239.0], **turns)
    own = {"seconds": [240.0, 241.0, 239.0], "reference_seconds": [2580.0, 2590.0, 2570.0]}
    run.cost("vgg_t3", "vggt", 1000, A100, **own)
    assert verdict_on("V3-H4", run).verdict == REPRODUCED
    apart = PublishedRun(datasets=SCANNET)
    apart.cost("fastvggt", "vggt", 1000, A100, seconds=[240.0, 241.0, 239.0], **turns)
    apart.cost("vgg_t3", "vggt", 1000, A100, seconds=[56.0, 56.1, 55.9])
    assert verdict_on("V3-H4", apart).verdict == ELSEWHERE


def errors(of: list[float], over: list[float]) -> PublishedRun:
    """Errors by scene of one inner step and of two, as V3-H8 has them (five times)."""
    run = PublishedRun(datasets=SEVEN)
    chamfer = "pi3_pointmap/chamfer"
    run.scores("vgg_t3", "vggt", "seven_scenes", 1000, {chamfer: of}, steps=1)
    return run.scores("vgg_t3", "vggt", "seven_scenes", 1000, {chamfer: over}, steps=2)


def test_a_ratio_of_errors_is_decided_scene_by_scene():
    plain = [0.1 + 0.01 * i for i in range(9)]
    assert verdict_on("V3-H8", errors([5 * x for x in plain], plain)).verdict == REPRODUCED
    assert verdict_on("V3-H8", errors([2 * x for x in plain], plain)).verdict == CONTRADICTED
    few = verdict_on("V3-H8", errors([5 * x for x in plain[:6]], plain[:6]))
    assert few.verdict == REPRODUCED
    one = [0.1] * 8 + [36.8]  # a quotient of means of 5.0 that comes from a single scene
    alone = verdict_on("V3-H8", errors([5 * (0.1 if x < 1 else 3.68) for x in one], one))
    assert alone.verdict == UNDECIDED


def test_several_parts_of_a_claim_are_corrected_together():
    """L3-H3 has 12 parts: one whose p value is 0.03 among them contradicts nothing."""
    data = {"blendedmvs": {"root": "/data"}, "dtu64": {"root": "/data"}}
    run = PublishedRun(datasets=data)
    same = [1.0, 1.1, 1.2, 0.9, 0.8, 1.0]
    worse = [x * 1.1 + d for x, d in zip(same, (0.3, 0.25, 0.4, 0.2, 0.35, 0.3), strict=True)]
    keys = ("absrel", "rot_official", "trans_official", "chamfer_sq")
    dense = {f"lite3r/{key}": same for key in keys}
    for method, values in (("vggt", dense), ("lite3r", {**dense, "lite3r/absrel": worse})):
        run.scores(method, "vggt", "blendedmvs", 2, values)
    run.trainings = [
        {"training": "t", "method": "lite3r", "backbone": "vggt", "options": "{}", "steps": 31}
    ]
    found = verdict_on("L3-H3", run)
    assert found.count == "4 of 12 numbers"
    assert found.verdict == UNDECIDED
    assert "corrected by Holm" in found.test
    many = {key: values * 3 for key, values in dense.items()}
    run.rows.clear()
    for method in ("vggt", "lite3r"):
        own = {**many, "lite3r/absrel": worse * 3} if method == "lite3r" else many
        run.scores(method, "vggt", "blendedmvs", 2, own)
    assert verdict_on("L3-H3", run).verdict == CONTRADICTED


def test_an_ordering_needs_six_scenes_and_more_than_noise():
    def run(scenes: int, gain: float) -> PublishedRun:
        made = PublishedRun(datasets=SCANNET)
        dense = [0.1 + 0.001 * i for i in range(scenes)]
        made.scores("vggt", "vggt", "scannet", 1000, {ATE: dense})
        better = [x - gain for x in dense]
        return made.scores("spark3r", "vggt", "scannet", 1000, {ATE: better})

    few = verdict_on("SP-H9", run(6, 0.05))
    assert (few.verdict, few.n) == (REPRODUCED, 6)
    assert verdict_on("SP-H9", run(6, 1e-6)).verdict == UNDECIDED, "a tie within rounding"
    assert verdict_on("SP-H9", run(6, -0.05)).verdict == CONTRADICTED
    assert "fewer than 6" in verdict_on("SP-H9", run(5, 0.05)).missing


def test_a_trend_has_to_be_one_of_scenes():
    """V3-H9: the means of one scene fall; eight of nine scenes rise."""

    def run(gaps: dict[int, list[float]]) -> PublishedRun:
        made = PublishedRun(datasets=SEVEN)
        for frames, factors in gaps.items():
            key = "pi3_pointmap/chamfer"
            made.scores("vggt", "vggt", "seven_scenes", frames, {key: [0.02] * 9})
            errors = [0.02 * factor for factor in factors]
            made.scores("vgg_t3", "vggt", "seven_scenes", frames, {key: errors})
        return made

    falls = {100: [1.5] * 9, 500: [1.3] * 9, 1000: [1.1] * 9}
    assert verdict_on("V3-H9", run(falls)).verdict == REPRODUCED
    by_one = {100: [1.0] * 8 + [9.0], 500: [1.02] * 8 + [5.0], 1000: [1.04] * 8 + [1.1]}
    assert verdict_on("V3-H9", run(by_one)).verdict == UNDECIDED


def test_nothing_measured_keeps_all_parts_of_what_numbers_say():
    """L3-H1 and L3-H2 are about two backbones and two datasets, not one ratio."""
    nothing = PublishedRun(datasets=SCANNET)
    time = verdict_on("L3-H1", nothing)
    assert (time.verdict, time.n) == (HOLDS, 8)
    memory = verdict_on("L3-H2", nothing)
    assert memory.verdict == HALF, "no number reaches 1.9 or 2.4"
    assert "1.983, 1.986, 2.324, 2.325" in memory.found


def test_a_ratio_of_some_cases_is_a_part():
    run = PublishedRun(datasets={"blendedmvs": {"root": "/data"}})
    size = {"image_size": (518, 518)}
    run.cost("vggt", "vggt", 2, A100, seconds=[0.48], **size)
    turns = {"seconds": [0.26, 0.261, 0.259], "reference_seconds": [0.48, 0.481, 0.479]}
    run.cost("lite3r", "vggt", 2, A100, **turns, **size)
    found = verdict_on("L3-H1", run)
    assert found.verdict == PARTLY
    assert found.count == "2 of 4 numbers"
