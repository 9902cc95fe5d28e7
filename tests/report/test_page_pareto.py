"""The numbers of the page's plot, on planted records."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.report.columns import QUALITY
from bench3r.report.evidence import Setting
from bench3r.report.page.pareto import TIME, choices_of, looks_of, pareto_of
from bench3r.report.summary import interval
from tests.helpers.evidence import cost, evidence, rows

BACKBONE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
PLUGIN = Setting("mor", "MOR", "plugin", "{}", "vggt")


def planted(values: dict, **options):
    """The plot of settings whose values of the first quality metric are given."""
    table = rows(values, column=QUALITY[0], **options)
    costs = [
        cost(BACKBONE, seconds=[1.0] * 8, peak_rss_bytes=349e6, baseline_rss_bytes=323e6),
        cost(
            PLUGIN,
            seconds=[3.0, 3.3] * 4,
            reference_seconds=[6.0, 6.6] * 4,
            peak_rss_bytes=363e6,
            baseline_rss_bytes=323e6,
        ),
    ]
    return pareto_of(evidence(table, costs=costs))


def axis(plot: dict, title: str) -> dict:
    return next(a for a in plot["costs"] if a["title"].startswith(title))


def test_means_are_over_the_scenes_that_all_settings_finished():
    failed = {("mor", 2): "oom"}
    plot = planted({"vggt": [1.0, 2.0, 9.0], "mor": [3.0, 5.0, 4.0]}, status=failed)
    spots = plot["qualities"][0]["spots"][0]
    assert plot["choices"] == [{"label": "d", "scenes": 2}]
    assert [spot[0] for spot in spots] == [1.5, 4.0]


def test_intervals_are_those_of_tables():
    values = [1.0, 2.0, 4.0, 4.5, 6.0, 9.0, 9.5]
    plot = planted({"vggt": values, "mor": values})
    found = interval(pd.Series(values))
    spot = plot["qualities"][0]["spots"][0][0]
    assert spot == pytest.approx([found.mean, found.low, found.high], rel=1e-5)


def test_time_is_the_paired_ratio_and_not_that_of_two_processes():
    plot = planted({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]})
    one, half = axis(plot, TIME)["spots"][0]
    assert one[0] == 1
    assert half[0] == pytest.approx(0.5), (
        "its own calls took 3 s, those of the backbone in turn 6 s"
    )
    assert half[1] <= 0.5 <= half[2]


def test_a_doubtful_time_says_why():
    table = rows({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]}, column=QUALITY[0])
    wild = cost(PLUGIN, seconds=[3.0, 9.0] * 4, reference_seconds=[6.0] * 8)
    plot = pareto_of(evidence(table, costs=[cost(BACKBONE, seconds=[1.0] * 8), wild]))
    doubts = axis(plot, TIME)["doubts"]
    assert doubts[0] == ""
    assert "differ by" in doubts[1]


def test_memory_is_shown_with_and_without_what_the_process_held_before():
    plot = planted({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]})
    assert [s[0] for s in axis(plot, "memory above")["spots"][0]] == [26, 40]
    assert [s[0] for s in axis(plot, "peak memory")["spots"][0]] == [349, 363]


def test_what_has_no_pairs_says_so():
    table = rows({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]}, column=QUALITY[0])
    costs = [cost(BACKBONE, seconds=[1.0]), cost(PLUGIN, seconds=[3.0])]
    plot = pareto_of(evidence(table, costs=costs))
    assert axis(plot, TIME)["spots"][0][1] is None
    assert "not timed in turn" in axis(plot, TIME)["why"][1]


def test_without_costs_there_is_no_plot():
    table = rows({"vggt": [1.0, 2.0], "mor": [3.0, 5.0]}, column=QUALITY[0])
    assert pareto_of(evidence(table)) is None


def test_datasets_can_be_chosen_alone_and_together():
    scenes = [(d, 4, 0, s) for d in "abc" for s in ("s0", "s1")]
    index = pd.MultiIndex.from_tuples(scenes, names=["dataset", "frames", "seed", "scene"])
    found = {label: len(own) for label, own in choices_of(index).items()}
    expected = {"all datasets": 6, "a": 2, "b": 2, "c": 2, "a + b": 4, "a + c": 4, "b + c": 4}
    assert found == expected


def test_settings_of_a_family_differ_in_shape_and_variants_in_paleness():
    other = PLUGIN._replace(options='{"x": 1}')
    skip = Setting("layer_skip", "layer skip", "plugin", "{}", "vggt")
    looks = looks_of([BACKBONE, PLUGIN, other, skip])
    assert looks[1]["family"] == looks[3]["family"] != looks[0]["family"]
    assert looks[1]["shape"] != looks[3]["shape"]
    assert (looks[1]["variant"], looks[2]["variant"]) == (0, 1)
