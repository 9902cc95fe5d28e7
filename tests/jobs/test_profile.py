"""Supervised measurements: searches, limits, devices."""

from __future__ import annotations

import json

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.files import write_json
from bench3r.jobs.profile import Measurement, largest_that
from bench3r.jobs.tasks import ProfileTask
from bench3r.report.evidence import CostRow
from bench3r.report.sections.largest import largest_table
from bench3r.run import paths
from bench3r.run.records import USER_ERROR, ProfileRecord
from bench3r.stages.collect import collect_profiles


def measurement(plan, entry, folder) -> Measurement:
    """The measurement of ``entry``, with its plan and record in ``folder``."""
    file = folder / "plan.json"
    write_json(file, plan.model_dump(mode="json"))
    task = ProfileTask(
        plan=file,
        prepared=paths.prepared(entry.dataset).resolve(),
        base=None,
        fitted=None,
        profile=entry.id,
        frames=entry.frames,
        out=folder / "out.json",
    )
    return Measurement(plan, entry, task)


def changed(plan, section: str | None = None, **values):
    """The plan with other settings, of a ``section`` of the configuration or of the whole."""
    config = plan.config
    if section:
        values = {section: getattr(config, section).model_copy(update=values)}
    return plan.model_copy(update={"config": config.model_copy(update=values)})


@pytest.mark.parametrize(
    ("fitting", "limit", "precision"),
    [(0, 50, 0), (1, 50, 0), (37, 50, 0), (37, 36, 0), (700, 9999, 0.05)],
)
def test_the_largest_that_fits(fitting, limit, precision):
    asked = []

    def fits(n):
        asked.append(n)
        return n <= fitting

    found = largest_that(fits, limit, precision)
    expected = min(fitting, limit)
    assert expected * (1 - precision) - 1e-9 <= found <= expected
    assert len(asked) == len(set(asked)), "nothing is tried twice"
    assert max(asked) <= limit


def test_a_search_ends_at_its_limit(edge, searched, tmp_path):
    record = measurement(edge, searched, tmp_path).run()
    assert (record.status, record.largest) == ("ok", 6)
    assert [p.frames for p in record.probes] == [1, 2, 4, 6]
    assert all(p.bytes > 1e7 and p.seconds > 0 for p in record.probes)
    assert list(tmp_path.glob(".*")) == [], "no working files are left"
    written = json.loads((tmp_path / "out.json").read_text())
    write_json(paths.profiled("edge", searched.id), written)
    rows = collect_profiles(edge, searches=True)
    assert [row["largest"] for row in rows] == [6]
    assert all("largest" not in row.get("cell", "") for row in collect_profiles(edge))
    table = largest_table([CostRow.model_validate(row) for row in rows], "about")
    assert table.shown.iloc[0]["maximum frame count"] == "6"


def test_a_stale_cost_is_a_missing_result(edge, searched, tmp_path):
    record = ProfileRecord(cell=searched.id, key="of another time", status="ok", largest=3)
    write_json(paths.profiled("edge", searched.id), record.model_dump(mode="json"))
    (row,) = collect_profiles(edge, searches=True)
    assert row["status"] == "error"
    assert "has not run" in row["reason"]


def test_a_model_that_needs_two_images_is_searched_from_two(edge, searched, tmp_path, monkeypatch):
    search = measurement(edge, searched, tmp_path)

    def once(frames, probe):
        status = "ok" if frames <= 5 else "oom"
        if frames == 1:
            status = "unsupported"
        return ProfileRecord(
            cell="c", key="k", status=status, reason="x", frames=frames, seconds=[0.5]
        )

    monkeypatch.setattr(search, "_once", once)
    record = search._search(16)
    assert (record.status, record.largest) == ("ok", 5)
    assert [p.frames for p in record.probes] == [1, 2, 4, 8, 6, 5]
    setting = {"method": "dust3r", "label": "DUSt3R", "backbone": "dust3r", "options": "{}"}
    table = largest_table([CostRow.model_validate({**setting, **record.model_dump()})], "")
    assert table.shown.iloc[0]["maximum frame count"] == "5"
    assert table.shown.iloc[0]["what stopped it"] == "6: oom, x"


@pytest.mark.parametrize(("method", "tried"), [("spark3r", [False, True]), ("vggt", [False])])
def test_a_method_that_fits_only_without_its_backbone_beside_it(
    edge, timed, tmp_path, monkeypatch, method, tried
):
    own = measurement(edge, timed.model_copy(update={"method": method}), tmp_path)
    alones = []

    def once(frames, probe, alone=False):
        alones.append(alone)
        return ProfileRecord(cell="c", key="k", status="ok" if alone else "oom", frames=frames)

    monkeypatch.setattr(own, "_once", once)
    assert own.run().status == ("ok" if True in tried else "oom")
    assert alones == tried


def test_no_memory_is_a_result(edge, searched, timed, tmp_path):
    small = changed(edge, "limits", memory_gb=0.05)
    record = measurement(small, searched, tmp_path).run()
    assert (record.status, record.largest) == ("oom", 0)
    assert "allowed 0.05 GB" in record.reason
    record = measurement(small, timed, tmp_path).run()
    assert record.status == "oom"
    row = record.model_dump() | {
        "method": "vggt",
        "label": "VGGT",
        "backbone": "vggt",
        "largest": 0,
        "probes": [{"frames": 1, "status": "oom", "reason": "x"}],
    }
    table = largest_table([CostRow.model_validate(row)], "")
    assert table.shown.iloc[0]["what stopped it"] == "1: oom, x"


def test_a_missing_device_is_an_error_and_no_record(edge, timed, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Bench3RError, match="torch sees no GPU"):
        measurement(changed(edge, device="cuda"), timed, tmp_path).run()
    assert not (tmp_path / "out.json").exists()
    assert USER_ERROR == 2
