"""Every protocol declares its metrics, and everything else reads what it declares."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.protocols import PROTOCOLS, metric_of

NEITHER = {  # counts and diagnostics: no way is better
    "depth_video": {"valid"},
    "dtu_mvsnet": {"points"},
    "recursion": {
        "corr_geometry",
        "corr_texture",
        "agreement",
        "agreement_chance",
        "mean_depth",
    },
    "regions": {"roughness_simple"},
    "scannet50_fastvggt": {"bbox_scale"},
    "sparse_depth": {"points"},
}
UNITS_OF_SHARES = {"share", "cosine"}  # more of them is better, where any way is


def test_the_file_name_is_the_name():
    for stem in PROTOCOLS.files():
        assert PROTOCOLS.get(stem).name == stem


@pytest.mark.parametrize("name", PROTOCOLS.files())
def test_every_metric_has_a_unit_a_label_and_a_considered_direction(name):
    protocol = PROTOCOLS.get(name)
    assert protocol.version >= 1
    assert protocol.metrics
    for metric in protocol.metrics:
        assert metric.unit, metric
        assert metric.label, metric
        assert not set(metric.label) & set("↑↓"), metric
        assert metric.digits >= 0
        if metric.name in NEITHER.get(name, ()):
            assert metric.better == "", metric
        else:
            assert metric.better == ("higher" if metric.unit in UNITS_OF_SHARES else "lower")


@pytest.mark.parametrize("name", PROTOCOLS.files())
def test_metrics_of_a_protocol_can_be_told_apart(name):
    metrics = PROTOCOLS.get(name).metrics
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert len({(metric.label, metric.unit) for metric in metrics}) == len(metrics)
    weight = PROTOCOLS.get(name).weight
    assert weight is None or weight in {metric.name for metric in metrics}


@pytest.mark.parametrize(
    ("protocol", "metric", "better"),
    [
        ("localisation", "within_15", "higher"),
        ("sparse_depth", "delta_1_03", "higher"),
        ("sparse_depth", "delta_1_25", "higher"),
        ("regions", "detail_complex", "higher"),
        ("regions", "border_error", "lower"),
        ("regions", "roughness_simple", ""),
        ("recursion", "mean_depth", ""),
    ],
)
def test_directions_that_no_name_gives_away(protocol, metric, better):
    assert metric_of(protocol, metric).better == better


def test_an_unknown_metric_or_protocol_is_named():
    with pytest.raises(Bench3RError, match=r"unknown protocol 'fscor' \(did you mean 'fscore'"):
        metric_of("fscor", "fscore")
    with pytest.raises(Bench3RError, match=r"protocol fscore: unknown metric 'recal'.*'recall'"):
        metric_of("fscore", "recal")
