"""Cost measurements of published size, with random weights."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.files import append_jsonl, read_jsonl, write_json
from bench3r.jobs import reference_worker
from bench3r.jobs.reference_worker import hold_depths, reference_record
from bench3r.jobs.tasks import ReferenceCase
from bench3r.measure.rungs import SETUPS, Rung
from bench3r.models.backbones import build_predictor
from bench3r.recursion.cost import USUAL_DEPTHS
from bench3r.report.sections.reference import measured_tables
from benchmarks import reference
from benchmarks.reference import arguments_given, cases, typical_size


def case(method: str, **changes) -> ReferenceCase:
    values = {
        "id": method,
        "method": method,
        "label": method,
        "options": {},
        "backbone": "vggt",
        "scale": "tiny",
        "frames": 2,
        "size": (72, 96),
        "device": "cpu",
        "precision": "fp32",
        "warmup": 1,
        "repeats": 3,
        "seconds": 1,
        "threads": 1,
    }
    return ReferenceCase.model_validate({**values, **changes})


def row(asked: ReferenceCase) -> dict:
    record = reference_record(asked).model_dump(mode="json")
    return {"case": asked.model_dump(mode="json"), **record}


def test_records_with_random_weights(tmp_path):
    rows = [row(case("vggt")), row(case("spatial_mor"))]
    assert [r["status"] for r in rows] == ["ok", "ok"], rows
    dense, routed = rows
    assert 0 < routed["flops"] < dense["flops"]
    assert "Table V" in routed["assumed"]
    assert dense["assumed"] == ""
    assert dense["trunk_seconds"]
    assert dense["weight_bytes"] == 4 * dense["parameters"]
    large = case("pi3", frames=64).model_dump(mode="json")
    for one in [*rows, {"case": large, "status": "oom", "reason": "too much"}]:
        append_jsonl(tmp_path / "Some-GPU" / "records.jsonl", one)
    (table,) = measured_tables(tmp_path)
    shown = table.shown.set_index("method")
    assert shown.loc["vggt, VGGT", "2"].removesuffix(" (!)").endswith("GB")
    assert "oom" in set(shown["64"])
    assert set(table.raw["records"]) == {str(tmp_path / "Some-GPU" / "records.jsonl")}
    assert "Table V" in " ".join(table.notes)
    assert typical_size("vggt", "full") == (336, 518)


def test_a_worker_reads_its_case_and_writes_the_record(tmp_path):
    asked = case("vggt", repeats=1)
    out = tmp_path / "out.json"
    task = {**asked.model_dump(mode="json"), "out": str(out)}
    write_json(tmp_path / "task.json", task)
    reference_worker.main(tmp_path / "task.json")
    text = out.read_text()
    assert '"case"' in text
    assert reference_worker.case_key(asked) in text


def test_given_depths_are_taken():
    cls = METHODS.get("spatial_mor")
    predictor = build_predictor(cls(), BuildContext("vggt", "tiny"))
    hold_depths(predictor.model.schedule, USUAL_DEPTHS)
    with torch.inference_mode():
        out = predictor(torch.rand(1, 8, 3, 96, 96))
    depth = out.recursion_depth
    shares = torch.bincount(depth.flatten(), minlength=5)[1:] / depth.numel()
    expected = torch.tensor(USUAL_DEPTHS, dtype=shares.dtype)
    torch.testing.assert_close(shares, expected, atol=0.05, rtol=0)


TINY = ["--device", "cpu", "--scale", "tiny", "--precision", "fp32", "--frames", "2"]
RUNGS = [
    Rung.AUTOCAST_BF16,
    Rung.BF16_WEIGHTS,
    Rung.AUTOCAST_FP16,
    Rung.FP16_WEIGHTS,
    pytest.param(Rung.FP32_COMPILED, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def dense():
    return reference_record(case("vggt"))


@pytest.mark.parametrize("rung", RUNGS)
def test_an_unchanged_backbone_is_measured_on_a_rung(dense, rung):
    found = reference_record(case("vggt", rung=rung))
    assert (found.status, found.reason) == ("ok", "")
    assert (found.rung, dense.rung) == (rung, Rung.FP32)
    assert len(found.seconds) >= 3
    assert len(found.trunk_seconds) >= 3
    assert (found.flops, found.parameters) == (dense.flops, dense.parameters)
    assert found.attention["flash (CPU)"] > 0
    smaller = found.weight_bytes < dense.weight_bytes
    assert smaller == (SETUPS[rung].weights != "fp32")


def test_a_rung_that_the_device_lacks_is_unsupported_and_plug_ins_have_none():
    found = reference_record(case("vggt", rung=Rung.FP32_TF32))
    assert (found.status, found.reason) == ("unsupported", "a CPU has no TF32")
    found = reference_record(case("dust3r", backbone="dust3r", rung=Rung.BF16_WEIGHTS))
    assert "rungs of the ladder are of unchanged backbones" in found.reason


def test_the_ladder_is_measured_of_unchanged_backbones_alone():
    asked = arguments_given([*TINY, "--methods", "vggt", "pi3", "fastvggt"])
    first = [frames[0] for frames in cases(asked)]
    by_method = {}
    for one in first:
        by_method.setdefault(one.method, []).append(one.rung)
    others = [rung for rung in reference.LADDER if rung != Rung.FP32]
    assert by_method["vggt"] == by_method["pi3"] == [None, *others]
    assert set(by_method["fastvggt"]) == {None}
    assert len({one.id for one in first}) == len({reference_worker.case_key(one) for one in first})
    assert "VGGT (bf16 weights)" in {one.label for one in first}
    plain = arguments_given([*TINY, "--methods", "vggt", "--ladder"])
    assert [frames[0].rung for frames in cases(plain)] == [None]


def test_the_command_measures_the_ladder_and_reports_show_it(tmp_path):
    ladder = ["--ladder", Rung.BF16_WEIGHTS, Rung.FP32_TF32]
    given = [*TINY, "--methods", "vggt", *ladder, "--seconds", "0.1", "--out", str(tmp_path)]
    reference.main(given)
    (path,) = tmp_path.glob("*/records.jsonl")
    measured = read_jsonl(path)
    found = [(one["case"]["rung"], one["status"]) for one in measured]
    assert found == [(None, "ok"), ("bf16_weights", "ok"), ("fp32_tf32", "unsupported")]
    reference.main(given)
    assert read_jsonl(path) == measured, "nothing is measured again"
    (table,) = measured_tables(tmp_path)
    shown = table.shown.set_index("method")["2"]
    assert shown["VGGT (fp32 + TF32), VGGT"] == "unsupported"
    assert " s, " in shown["VGGT (bf16 weights), VGGT"]


def test_precisions_of_a_device_have_a_row_each(tmp_path):
    """The second one took the place of the first."""
    for precision, seconds in (("fp32", 2.0), ("bf16", 1.0)):
        named = case("vggt", precision=precision).model_dump(mode="json")
        one = {"case": named, "status": "ok", "seconds": [seconds], "peak_rss_bytes": 10**9}
        append_jsonl(tmp_path / "Some-CPU" / "records.jsonl", one)
    (table,) = measured_tables(tmp_path)
    shown = table.shown.set_index("method")["2"]
    assert shown["vggt in fp32, VGGT"] == "2 s, 1.00 GB"
    assert shown["vggt in bf16, VGGT"] == "1 s, 1.00 GB"
