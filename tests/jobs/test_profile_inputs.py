"""What costs are measured on: as many distinct frames of one scene, or none."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.errors import Unsupported
from bench3r.data.prepared import read_prepared
from bench3r.files import write_json
from bench3r.jobs import profile_inputs, profile_worker
from bench3r.report.costs import CostRow
from bench3r.run import paths
from bench3r.run.context import Trained
from bench3r.run.records import ProfileRecord
from bench3r.stages.collect import collect_profiles


def distinct(images: torch.Tensor) -> int:
    """How many different views a scene [1, S, 3, H, W] has."""
    return len({view.numpy().tobytes() for view in images[0]})


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
def test_frames_are_distinct_and_rendered_where_they_are_too_few(edge, timed, searched, frames):
    """3 views are rendered for the scores; the search for up to 6 has a longer scene."""
    entry = (timed if frames <= 3 else searched).model_copy(update={"frames": frames})
    prepared = read_prepared(paths.prepared(entry.dataset))
    (images,) = profile_inputs.profile_inputs(entry, edge.config, prepared)
    assert images.shape[1] == distinct(images) == frames


def test_the_first_frames_of_a_list_come_first(edge, timed):
    prepared = read_prepared(paths.prepared(timed.dataset))
    item = prepared.longest()[0].model_copy(update={"frames": ["2", "0", "2"]})
    dataset = profile_inputs.SceneLoader(prepared, 96, 8).dataset
    assert profile_inputs.distinct_frames(item, dataset, 2) == ["2", "0"]
    assert profile_inputs.distinct_frames(item, dataset, 3) == ["0", "1", "2"]
    assert len(profile_inputs.distinct_frames(item, dataset, 9)) == 3


def test_a_scene_that_is_too_short_is_unsupported_and_says_so(edge, timed):
    entry = timed.model_copy(update={"frames": 9})
    prepared = paths.prepared(entry.dataset)
    with pytest.raises(Unsupported, match="has 9 distinct frames; the longest has 3"):
        profile_inputs.profile_inputs(entry, edge.config, read_prepared(prepared))
    record = profile_worker.profile(entry, edge.config, prepared, Trained())
    assert (record.status, record.seconds) == ("unsupported", [])
    assert "no scene of scannet has 9 distinct frames" in record.reason


def test_longer_scenes_are_planned_for_costs_alone(edge, timed, searched):
    scored, longer = edge.datasets
    assert {cell.dataset for cell in edge.cells} == {scored.id} == {timed.dataset}
    assert (searched.dataset, longer.views, longer.main) == (longer.id, 6, False)


def test_times_of_another_process_are_never_taken_for_pairs(edge, timed):
    """The backbone's own measurement is not set against a method that was timed apart."""
    plugin = timed.model_copy(update={"id": "plugin", "method": "spark3r", "label": "Spark3R"})
    plan = edge.model_copy(update={"profiles": [timed, plugin]})
    for entry, seconds in ((timed, 9.0), (plugin, 3.0)):
        record = ProfileRecord(
            cell=entry.id, key=entry.key, status="ok", frames=2, seconds=[seconds]
        )
        write_json(paths.profiled("edge", entry.id), record.model_dump(mode="json"))
    rows = [CostRow.model_validate(row) for row in collect_profiles(plan)]
    assert [row.cell for row in rows] == [timed.id, "plugin"]
    assert rows[1].ratio is None
    assert rows[1].why_unpaired == "VGGT was not timed in turn with it"
    paths.profiled("edge", timed.id).unlink()
    paths.profiled("edge", plugin.id).unlink()
    assert [row["cell"] for row in collect_profiles(plan)] == [timed.id, "plugin"]  # lost ones too


def test_a_method_measured_alone_says_that_its_backbone_did_not_fit(edge, timed, monkeypatch):
    given = []

    def measure(entry, config, inputs, predictor, reference, *more):
        given.append(reference)
        return profile_worker.start_record(entry, config, inputs)

    monkeypatch.setattr(profile_worker, "measure", measure)
    entry = timed.model_copy(update={"method": "fastvggt", "options": {}})
    prepared = paths.prepared(entry.dataset)
    beside = profile_worker.profile(entry, edge.config, prepared, Trained())
    alone = profile_worker.profile(entry, edge.config, prepared, Trained(), alone=True)
    assert [make is None for make in given] == [False, True]
    assert beside.missing == {}
    assert "did not fit beside the method" in alone.missing["reference_seconds"]
