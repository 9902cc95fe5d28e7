"""Cost measurements of published size, with random weights."""

from __future__ import annotations

import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.files import append_jsonl, write_json
from bench3r.jobs import reference_worker
from bench3r.jobs.reference_worker import hold_depths, reference_record
from bench3r.jobs.tasks import ReferenceCase
from bench3r.models.backbones import build_predictor
from bench3r.recursion.cost import USUAL_DEPTHS
from bench3r.report.sections.reference import measured_tables
from benchmarks.reference import typical_size


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
