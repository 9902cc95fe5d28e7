"""The ladder of baselines: measured beside the unchanged backbone, in its process."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from bench3r.files import write_json
from bench3r.jobs import profile_ladder, profile_worker
from bench3r.measure import ladder
from bench3r.measure.rungs import Rung
from bench3r.run import paths
from bench3r.run.config import parse_config
from bench3r.run.config_sections import ProfileConfig
from bench3r.run.context import Trained
from bench3r.run.planner import make_plan
from bench3r.run.records import ProfileRecord
from bench3r.stages.collect import collect_profiles
from tests.jobs.conftest import RAW
from tests.jobs.test_profile import changed, measurement

RUNGS = [Rung.FP32, Rung.FP32_TF32, Rung.AUTOCAST_BF16, Rung.BF16_WEIGHTS, Rung.FP16_WEIGHTS]


def test_every_rung_is_timed_in_turn_with_the_run(edge, timed):
    plan = changed(edge, "profile", ladder=RUNGS, repeats=2)
    prepared = paths.prepared(timed.dataset)
    record = profile_worker.profile(timed, plan.config, prepared, Trained())
    assert record.status == "ok", record.reason
    assert record.rung == Rung.FP32
    assert record.attention["flash (CPU)"] > 0
    by_rung = {one.rung: one for one in record.ladder}
    assert list(by_rung) == RUNGS
    lacking = by_rung.pop(Rung.FP32_TF32)
    assert (lacking.status, lacking.reason) == ("unsupported", "a CPU has no TF32")
    for one in by_rung.values():
        assert one.status == "ok", one.reason
        assert len(one.seconds) == len(one.run_seconds) == 2
        assert one.first_seconds > 0
        assert one.attention
    whole = by_rung[Rung.FP32].weight_bytes
    assert by_rung[Rung.AUTOCAST_BF16].weight_bytes == whole == record.weight_bytes
    assert 0.5 * whole < by_rung[Rung.BF16_WEIGHTS].weight_bytes < whole
    write_json(paths.profiled("edge", timed.id), record.model_dump(mode="json"))
    (row,) = collect_profiles(edge)
    paths.profiled("edge", timed.id).unlink()
    assert [one["rung"] for one in row["ladder"]] == RUNGS


def test_a_rung_and_the_run_are_timed_on_the_same_input(edge, timed, monkeypatch):
    """The first call of a rung takes an input: the run's must not lag one behind."""
    seen = []

    class Predictor:
        model = None

        def __call__(self, images):
            seen.append(float(images.mean()))

    for name, answer in (("put_on", None), ("stored_tensors", []), ("attention_kernels", {})):
        monkeypatch.setattr(profile_ladder, name, lambda *a, answer=answer: answer)
    config = changed(edge, "profile", ladder=[Rung.FP32, Rung.BF16_WEIGHTS], repeats=3).config
    inputs = [torch.full((1, 2, 3, 8, 8), float(i)) for i in range(2)]
    profile_ladder.measure_ladder(config, inputs, Predictor(), Predictor)
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    assert len(pairs) == 2 * (1 + 2 * config.profile.warmup + 3)
    assert all(own == other for own, other in pairs)


def test_methods_have_no_ladder_and_none_is_the_default(edge, timed):
    assert ProfileConfig().ladder == []
    assert (
        profile_worker.profile(timed, edge.config, paths.prepared(timed.dataset), Trained()).ladder
        == []
    )
    plan = changed(edge, "profile", ladder=[Rung.FP32])
    entry = timed.model_copy(update={"method": "spark3r", "options": {}})
    record = profile_worker.profile(entry, plan.config, paths.prepared(timed.dataset), Trained())
    assert (record.status, record.ladder) == ("ok", [])


def test_a_ladder_makes_stale_what_it_is_measured_with_alone():
    raw = {**RAW, "methods": {"vggt": {}, "spark3r": {}}}
    with_ladder = {**raw, "profile": {**RAW["profile"], "ladder": ["fp32", "bf16_weights"]}}
    plans = [make_plan(parse_config(one, "x")) for one in (raw, with_ladder)]
    keys = [{entry.id: entry.key for entry in plan.profiles} for plan in plans]
    differ = {name for name in keys[0] if keys[0][name] != keys[1][name]}
    assert len(differ) == 1
    assert differ.pop().startswith("vggt.vggt.tiny.f2")


def test_a_rung_that_fails_leaves_the_others(edge, timed, monkeypatch):
    def put_on(model, rung):
        if rung == Rung.BF16_WEIGHTS:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if rung == Rung.FP16_WEIGHTS:
            raise RuntimeError("\"addmm_impl\" not implemented for 'Half'")
        ladder.put_on(model, rung)

    monkeypatch.setattr(profile_ladder, "put_on", put_on)
    plan = changed(edge, "profile", ladder=[Rung.BF16_WEIGHTS, Rung.FP16_WEIGHTS, Rung.FP32])
    record = profile_worker.profile(timed, plan.config, paths.prepared(timed.dataset), Trained())
    assert [one.status for one in record.ladder] == ["oom", "unsupported", "ok"]


def test_a_ladder_that_ends_the_process_costs_no_measurement(edge, timed, tmp_path, monkeypatch):
    plan = changed(edge, "profile", ladder=[Rung.FP32])
    own = measurement(plan, timed, tmp_path)

    def once(frames, probe, alone=False):
        status = "ok" if alone else "oom"
        return ProfileRecord(cell="c", key="k", status=status, reason="killed", frames=frames)

    monkeypatch.setattr(own, "_once", once)
    record = own.run()
    assert record.status == "ok"
    assert [(one.status, one.reason) for one in record.ladder] == [("oom", "killed")]


def test_an_unknown_rung_is_refused():
    with pytest.raises(ValidationError, match="ladder"):
        ProfileConfig(ladder=["int4"])
    with pytest.raises(ValidationError, match="ladder_most: bf16_weights not in the ladder"):
        ProfileConfig(ladder=["fp32"], ladder_most={"bf16_weights": 100})


def test_a_rung_that_takes_too_long_is_left_out_of_long_scenes_and_says_so(edge, timed):
    most = {Rung.FP32: timed.frames - 1, Rung.BF16_WEIGHTS: timed.frames}
    rungs = [Rung.FP32, Rung.BF16_WEIGHTS]
    plan = changed(edge, "profile", ladder=rungs, ladder_most=most, repeats=1)
    record = profile_worker.profile(timed, plan.config, paths.prepared(timed.dataset), Trained())
    found = [(one.rung, one.status, bool(one.seconds)) for one in record.ladder]
    assert found == [(Rung.FP32, "unsupported", False), (Rung.BF16_WEIGHTS, "ok", True)]
    assert "not asked for above 1 frames (ladder_most)" in record.ladder[0].reason


def test_leaving_out_a_rung_makes_stale_the_long_scenes_of_backbones_alone():
    ladder = {"ladder": ["fp32"], "frames": [2, 4]}
    raw = {**RAW, "methods": {"vggt": {}, "spark3r": {}}}
    keys = []
    for most in ({}, {"fp32": 2}):
        how = {**RAW["profile"], **ladder, "ladder_most": most}
        plan = make_plan(parse_config({**raw, "profile": how}, "x"))
        keys.append({entry.id: entry.key for entry in plan.profiles})
    (differs,) = (name for name in keys[0] if keys[0][name] != keys[1][name])
    assert differs.startswith("vggt.vggt.tiny.f4")
