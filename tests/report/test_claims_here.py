"""Directions in a run, judged by planted records: differences, times, FLOPs, families of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench3r.metrics.statistics import mean_interval
from bench3r.report.claims.corrections import corrected
from bench3r.report.claims.judge import judge, judge_all
from bench3r.report.claims.ledger import ledger
from bench3r.report.claims.verdict import IDLE, LACKING, OTHER, SAME, UNDECIDED, Verdict
from tests.helpers.published_run import PublishedRun

CPU = "a CPU"
CD = "pi3_pointmap/chamfer_norm"
SEAM = "recursion/seam_index"
TINY = {"scale": "tiny", "precision": "fp32", "base": "shipped"}
BASE = [0.040, 0.052, 0.047, 0.061, 0.055, 0.043, 0.058, 0.049, 0.051]


def tiny_run() -> PublishedRun:
    """An empty run of tiny models on procedural scenes."""
    return PublishedRun(**TINY, datasets={"scannet": {"root": "procedural"}})


def here(method: str, values: list[float], run: PublishedRun, **options) -> PublishedRun:
    """Plant the Chamfer distance of ``method`` by scene."""
    backbone = method if method in ("dust3r", "mast3r") else "vggt"
    return run.scores(method, backbone, "scannet", 4, {CD: values}, procedural=True, **options)


def verdict_on(claim: str, run: PublishedRun) -> Verdict:
    """The verdict of the ledger on one claim by itself."""
    book = ledger()
    return judge(book.by_id[claim], book, run.evidence())


@pytest.mark.parametrize(("scenes", "verdict"), [(9, OTHER), (6, OTHER), (3, UNDECIDED)])
def test_a_direction_needs_six_scenes(scenes, verdict):
    """The paper has SpatialMoR better than VGGT; here it is worse in every scene."""
    run = here("vggt", BASE[:scenes], tiny_run())
    here("spatial_mor", [x + 0.06 + 0.1 * x for x in BASE[:scenes]], run)
    found = verdict_on("SM-T2-SpatialMoR-CD", run)
    assert (found.verdict, found.n) == (verdict, scenes)
    if verdict == UNDECIDED:
        assert found.shown == "cannot tell (n = 3)"
    assert "in the paper 1.69 against 1.72" in found.found
    assert "n ≥ 6" in found.threshold


def test_differences_of_rounding_are_no_direction():
    run = here("vggt", BASE, tiny_run())
    here("spatial_mor", [x - 1e-6 for x in BASE], run)
    assert verdict_on("SM-T2-SpatialMoR-CD", run).verdict == UNDECIDED


def test_quality_and_cost_are_of_one_setting():
    """Of MASt3R two variants run: the first of the configuration stands for all its claims."""
    run = here("vggt", BASE, tiny_run())
    here("mast3r", [x + 0.02 for x in BASE], run, coarse_iterations=100)
    here("mast3r", [x - 0.02 for x in BASE], run, alignment="global")
    run.recorded("vggt", "vggt", "scannet", 4, [{"flops": 10}] * 9)
    run.recorded("mast3r", "mast3r", "scannet", 4, [{"flops": 9}] * 9, alignment="global")
    twice = {"coarse_iterations": 100}
    run.recorded("mast3r", "mast3r", "scannet", 4, [{"flops": 30}] * 9, **twice)
    run.cost("mast3r", "mast3r", 4, CPU, seconds=[1.0], options={"alignment": "global"})
    quality = verdict_on("SM-T2-MASt3R-CD", run)
    flops = verdict_on("SM-T2-MASt3R-flops", run)
    time = verdict_on("SM-T2-MASt3R-time", run)
    assert quality.verdict == SAME
    assert flops.verdict == OTHER, "three times VGGT's, not nine tenths"
    assert "MASt3R (coarse iterations 100) over VGGT: 3.000" in flops.found
    assert time.verdict == LACKING, "that variant was not timed"


def test_a_method_on_another_backbone_is_no_answer():
    run = here("vggt", BASE, tiny_run())
    values = {CD: [x - 0.02 for x in BASE]}
    run.scores("spatial_mor", "pi3", "scannet", 4, values, procedural=True)
    assert verdict_on("SM-T2-SpatialMoR-CD", run).verdict == LACKING


def timed(seconds: list[float], reference: list[float], other: float) -> PublishedRun:
    """Early exit in turn with VGGT, and VGGT in another process."""
    run = here("early_exit", BASE, here("vggt", BASE, tiny_run()))
    run.cost("vggt", "vggt", 4, CPU, seconds=[other] * 10)
    run.cost("early_exit", "vggt", 4, CPU, seconds=seconds, reference_seconds=reference)
    return run


def test_times_are_those_of_calls_in_turn():
    """Minutes later VGGT took twice as long: the unpaired times say the opposite."""
    slower = [1.10 + 0.01 * (i % 5) for i in range(10)]
    found = verdict_on("SM-T2-VGGTearlyexit-time", timed(slower, [1.0] * 10, other=2.0))
    assert found.verdict == OTHER
    assert (found.n, found.unit) == (10, "pairs")
    assert found.records == ("results/planted/profile/early_exit.vggt.4.json",)
    faster = [0.80 + 0.01 * (i % 5) for i in range(10)]
    assert verdict_on("SM-T2-VGGTearlyexit-time", timed(faster, [1.0] * 10, 0.5)).verdict == SAME
    wild = [0.6, 0.9, 0.7, 0.95, 0.65, 0.9, 0.7, 0.8, 0.6, 1.1]
    doubtful = verdict_on("SM-T2-VGGTearlyexit-time", timed(wild, [1.0] * 10, 1.0))
    assert doubtful.verdict == UNDECIDED
    assert "suspect" in doubtful.found


def test_models_that_cannot_be_paired_have_no_verdict_on_time():
    run = here("dust3r", BASE, here("vggt", BASE, tiny_run()))
    run.cost("vggt", "vggt", 4, CPU, seconds=[1.0] * 10)
    run.cost("dust3r", "dust3r", 4, CPU, seconds=[9.0] * 10)
    found = verdict_on("SM-T2-DUSt3R-time", run)
    assert found.verdict == UNDECIDED
    assert "not compared" in found.found


def test_flops_are_those_of_the_predictions():
    """On the profile's input it costs more than VGGT, on every scene that is compared less."""
    run = here("early_exit", BASE, here("vggt", BASE, tiny_run()))
    run.cost("vggt", "vggt", 4, CPU, seconds=[1.0], flops=100.0)
    run.cost("early_exit", "vggt", 4, CPU, seconds=[1.0], flops=116.0)
    run.recorded("vggt", "vggt", "scannet", 4, [{"flops": 100}] * 9)
    run.recorded("early_exit", "vggt", "scannet", 4, [{"flops": 80 + i} for i in range(9)])
    found = verdict_on("SM-T2-VGGTearlyexit-flops", run)
    assert found.verdict == SAME
    assert "0.840 (0.800 to 0.880)" in found.found
    assert [name for name in found.records if "predict" in name]
    assert not [name for name in found.records if "profile" in name]
    run.facts[-1]["flops"] = 120
    assert verdict_on("SM-T2-VGGTearlyexit-flops", run).verdict == UNDECIDED, "one scene more"


def test_a_loss_that_was_zero_all_the_time_is_not_exercised(tmp_path, monkeypatch):
    """Both runs learned the same, so their equal scores say nothing about the loss."""
    monkeypatch.chdir(tmp_path)
    run = tiny_run()
    here("spatial_mor", BASE, run, trained="with")
    here("spatial_mor", BASE, run, trained="without", spatial_weight=0.0)
    folder = tmp_path / "results" / "planted" / "train"
    folder.mkdir(parents=True)
    curve = folder / "with.csv"
    curve.write_text("step,total,spatial\n1,1.0,0\n2,0.9,0\n")
    found = verdict_on("SM-A2", run)
    assert (found.verdict, found.n, found.unit) == (IDLE, 2, "steps")
    curve.write_text("step,total,spatial\n1,1.0,0\n2,0.9,0.001\n")
    assert verdict_on("SM-A2", run).verdict == UNDECIDED
    here("spatial_mor", [x + 0.01 for x in BASE], run, trained="worse", spatial_weight=0.0)
    run.rows = [row for row in run.rows if "without" not in str(row["cell"])]
    assert verdict_on("SM-A2", run).verdict == SAME


def test_options_that_differ_in_more_than_the_claim_are_not_compared():
    """Adaptive patches need another cache: fixed ones are compared with that cache, too."""
    run = here("spatial_mor", BASE, tiny_run())
    merged = {"patch_sizing": "adaptive", "caching": "recursion_wise"}
    here("spatial_mor", [x + 0.01 for x in BASE], run, **merged)
    assert verdict_on("SM-H7", run).verdict == LACKING
    here("spatial_mor", BASE, run, caching="recursion_wise")
    assert verdict_on("SM-H7", run).verdict == SAME


@pytest.mark.parametrize(
    ("mor", "ours", "verdict"),
    [
        ([1.5 + 0.02 * i for i in range(9)], [1.05 + 0.01 * i for i in range(9)], SAME),
        ([0.90 + 0.005 * i for i in range(9)], [0.80] * 9, OTHER),
        ([1.5 + 0.02 * i for i in range(9)], [1.9 + 0.01 * i for i in range(9)], OTHER),
        ([0.7, 1.9, 0.8, 1.6, 0.9, 1.2, 0.7, 1.5, 1.1], [0.9] * 9, UNDECIDED),
    ],
)
def test_seams_are_measured(mor, ours, verdict):
    """MoR has to show seams, and SpatialMoR fewer."""
    run = tiny_run()
    run.scores("mor", "vggt", "scannet", 4, {SEAM: mor}, procedural=True)
    run.scores("spatial_mor", "vggt", "scannet", 4, {SEAM: ours}, procedural=True)
    found = verdict_on("SM-H5", run)
    assert (found.verdict, found.n) == (verdict, 9)


def test_many_comparisons_are_corrected_together():
    """One of twelve null comparisons has p = 0.04 by chance: alone it would be a difference."""
    random = np.random.default_rng(5)
    scenes = [f"s{i}" for i in range(9)]
    verdicts = []
    for i in range(12):
        values = random.normal(size=9)
        verdicts.append(_planted(f"c{i}", values, scenes))
    alone = [v.verdict for v in verdicts]
    assert alone.count(SAME) + alone.count(OTHER) >= 1, "by chance"
    together = corrected(verdicts)
    assert all(v.verdict == UNDECIDED for v in together)
    assert "adjusted p ≤ 0.05 in a family of 12 (joint sign-flips" in together[0].threshold
    strong = _planted("strong", np.linspace(1.0, 1.3, 9), scenes)
    assert corrected([*verdicts, strong])[-1].verdict == SAME, "what is real stands"


def _planted(name: str, values: np.ndarray, scenes: list[str]) -> Verdict:
    found = mean_interval(values)
    direction = SAME if found.mean > 0 else OTHER
    return Verdict(
        direction if found.excludes_zero else UNDECIDED,
        n=9,
        family="planted",
        comparison=name,
        p=found.p,
        differences=pd.Series(values, index=scenes),
    )


def test_families_without_common_scenes_are_corrected_by_holm():
    verdicts = []
    for name, p in (("a", 0.001), ("b", 0.03), ("c", 0.5)):
        word = SAME if p < 0.05 else UNDECIDED
        verdicts.append(Verdict(word, family="times", comparison=name, p=p))
    assert [v.verdict for v in corrected(verdicts)] == [SAME, UNDECIDED, UNDECIDED]
    again = Verdict(SAME, family="times", comparison="a", p=0.001)
    assert corrected([*verdicts, again])[0].p == pytest.approx(0.003), "the same one is not two"


def test_the_whole_ledger_names_its_families():
    run = here("vggt", BASE, tiny_run())
    for method in ("early_exit", "mor", "spatial_mor", "dust3r"):
        here(method, [x + 0.03 + 0.2 * x for x in BASE], run)
    found = judge_all(ledger(), run.evidence())
    assert "in a family of 4 (joint sign-flips and Holm)" in found["SM-T2-DUSt3R-CD"].threshold
    assert found["SM-T2-DUSt3R-CD"].verdict == SAME
    assert found["SM-T2-VGGTMoRstandard-CD"].verdict == OTHER
