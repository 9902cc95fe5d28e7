"""Tables: common scenes, counts, ranks, holes; nothing filled in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench3r.report import sensitivity
from bench3r.report.adaptive import Evidence
from bench3r.report.pairwise import pairwise, ratio_notes
from bench3r.report.scaling import crossover, crossover_text, exponent, grown
from bench3r.report.summary import Column, common_scenes, counts, holes, keys_of, wide
from bench3r.report.tables import Table, comparison, latex_text
from bench3r.stages.collect import COLUMNS

COLUMN = Column("AbsRel ↓", "depth_median", "absrel", "ratio", "lower")


def rows(
    values: dict[str, list[float | None]], status: dict[tuple[str, int], str] | None = None
) -> pd.DataFrame:
    """A tidy table: method -> value per scene; ``status`` overrides (method, scene)."""
    out = []
    for method, numbers in values.items():
        for i, value in enumerate(numbers):
            state = (status or {}).get((method, i), "ok")
            out.append(
                {
                    "cell": method,
                    "method": method,
                    "label": method.upper(),
                    "kind": "control" if method == "oracle" else "plugin",
                    "options": "{}",
                    "backbone": "vggt",
                    "dataset": "d",
                    "frames": 4,
                    "seed": 0,
                    "scene": f"s{i}",
                    "protocol": "depth_median",
                    "metric": "absrel",
                    "status": state,
                    "value": value if state == "ok" else np.nan,
                    "reason": "" if state == "ok" else "it broke",
                }
            )
    return pd.DataFrame(out, columns=COLUMNS)


def compare(table: pd.DataFrame):
    return comparison(table, pd.DataFrame(), (COLUMN,), 4, False, "t", "title", "caption")


def test_means_are_over_scenes_that_all_finished():
    table = rows({"vggt": [0.1, 0.2, 0.9], "fast": [0.2, 0.3, 0.0]}, {("fast", 2): "oom"})
    assert [s[-1] for s in common_scenes(table)] == ["s0", "s1"]
    raw = compare(table).raw.set_index("method")
    assert raw.loc["vggt", "depth_median/absrel/mean"] == pytest.approx(0.15)
    assert raw.loc["fast", "depth_median/absrel/mean"] == pytest.approx(0.25)
    assert raw.loc["fast", "depth_median/absrel/delta_vs_backbone"] == pytest.approx(0.1)
    assert list(compare(table).shown["n/N"]) == ["3/3", "2/3"]


def test_a_method_that_finished_nothing_does_not_empty_the_table():
    table = rows(
        {"vggt": [0.1, 0.2], "dead": [0.0, 0.0]}, {("dead", 0): "error", ("dead", 1): "timeout"}
    )
    shown = compare(table).shown.set_index("method")
    assert shown.loc["VGGT", COLUMN.title].startswith("**0.150**")
    assert shown.loc["DEAD", COLUMN.title] == "–"
    assert shown.loc["DEAD", "n/N"] == "0/2"
    missing = holes(table)
    assert sorted(missing["status"]) == ["error", "timeout"]
    assert set(missing["reason"]) == {"it broke"}


def test_a_missing_metric_stays_missing():
    table = rows({"vggt": [0.1, None], "fast": [0.2, 0.3]})
    assert np.isnan(wide(table, COLUMN).to_numpy()).sum() == 1
    assert compare(table).raw["depth_median/absrel/mean"].tolist() == pytest.approx([0.1, 0.25])
    assert list(holes(table)["status"]) == ["metric missing"]


def test_controls_are_not_ranked_and_ties_are_marked():
    shown = compare(
        rows({"vggt": [0.2, 0.3, 0.4], "same": [0.2, 0.31, 0.39], "oracle": [0.0, 0.0, 0.0]})
    ).shown
    text = shown.set_index("method")[COLUMN.title]
    assert text["ORACLE"].startswith("0.000")
    assert text["VGGT"].startswith("**") or text["SAME"].startswith("**")
    assert text["SAME"].endswith("≈")
    assert not text["VGGT"].endswith("≈")


def test_the_tie_group_of_the_best_is_marked():
    table = compare(
        rows({"vggt": [0.2, 0.3, 0.4], "same": [0.21, 0.29, 0.41], "worse": [0.5, 0.6, 0.7]})
    )
    text = table.shown.set_index("method")[COLUMN.title]
    assert ["†" in text[m] for m in ("VGGT", "SAME", "WORSE")] == [True, True, False]
    assert table.raw["depth_median/absrel/tied_with_best"].tolist() == [True, True, False]
    assert table.raw.set_index("method").loc[
        "worse", "depth_median/absrel/effect_size"
    ] == pytest.approx(np.nan, nan_ok=True)
    alone = compare(rows({"vggt": [0.2, 0.3, 0.4], "worse": [0.5, 0.6, 0.7]})).shown
    assert not alone[COLUMN.title].str.contains("†").any()  # a group of one is no tie


def test_seeds_repeat_a_scene_and_are_no_scenes_of_their_own():
    one = rows({"vggt": [0.1, 0.2, 0.6], "fast": [0.2, 0.2, 0.5]})
    several = pd.concat([one, one.assign(seed=1, value=one["value"] + 0.1)], ignore_index=True)
    a, b = (compare(t).raw.set_index("method") for t in (one, several))
    for part in ("low", "high"):  # as wide as with one seed
        name = f"depth_median/absrel/{part}"
        np.testing.assert_allclose(b[name], a[name] + 0.05)


def test_a_protocol_may_weigh_scenes():
    column = Column("AbsRel ↓", "depth_video", "scale_absrel", "ratio", "lower")
    table = rows({"vggt": [0.1, 0.4], "fast": [0.2, 0.2]}).assign(
        protocol="depth_video", metric="scale_absrel"
    )
    pixels = table.assign(metric="valid", value=[300.0, 100.0, 300.0, 100.0])
    found = comparison(
        pd.concat([table, pixels], ignore_index=True),
        pd.DataFrame(),
        (column,),
        4,
        False,
        "t",
        "t",
        "c",
    ).raw
    assert found["depth_video/scale_absrel/mean"].tolist() == pytest.approx(
        [(3 * 0.1 + 0.4) / 4, 0.2]
    )


def test_what_the_protocol_alone_changes():
    values = {"vggt": [0.1, 0.2], "fast": [0.2, 0.4], "oracle": [0.0, 0.0]}
    other = {"vggt": [0.4, 0.5], "fast": [0.2, 0.4], "oracle": [0.0, 0.0]}
    table = pd.concat([rows(values), rows(other).assign(protocol="lite3r")], ignore_index=True)
    plan = SimpleNamespace(cells=[SimpleNamespace(id=m, tables=["main"]) for m in values])
    evidence = Evidence(plan, table, pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), 4, "", "about")
    (found,) = sensitivity.measured(evidence)
    assert found.means.loc["VGGT"].tolist() == pytest.approx([0.15, 0.45])
    assert found.moved().tolist() == pytest.approx([3, 1])
    assert found.agreement() == pytest.approx(-1)  # the order turns round
    assert found.best() == {"VGGT": ["median scale per scene"], "FAST": ["Lite3R"]}
    summary, family = sensitivity.tables(evidence)
    assert summary.shown.loc[0, "best method"] == "VGGT (median scale per scene); FAST (Lite3R)"
    assert family.shown["Lite3R"].tolist() == ["0.45", "**0.3**"]


def test_counts_and_keys():
    table = rows({"vggt": [0.1, 0.2]})
    assert counts(table, keys_of(table).iloc[0]) == (2, 2)


def test_the_tables_of_adaptive_depth_bear_a_run_without_it():
    """Only a control, nothing profiled: no table breaks."""
    from bench3r.report import adaptive
    from bench3r.run.config import parse_config
    from bench3r.run.plan import make_plan

    raw = {
        "name": "x",
        "methods": {"oracle": {}},
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    plan = make_plan(parse_config(raw, "test"))
    table = rows({"oracle": [0.1, 0.2]}).assign(cell=plan.cells[0].id)
    empty = pd.DataFrame()
    evidence = adaptive.Evidence(plan, table, empty, empty, empty, 4, "", "about")
    assert [t.name for t in adaptive.tables(evidence)] == ["table3"]


def test_latex_is_escaped():
    assert latex_text("**0.1** [0.0, 50 %]") == r"\textbf{0.1} [0.0, 50 \%]"
    assert latex_text("_0.123_ [0.1, 0.2] ≈") == r"\underline{0.123} [0.1, 0.2] $\approx$"
    assert latex_text("relpose_pi3 & a_b_c") == r"relpose\_pi3 \& a\_b\_c"
    assert latex_text("CD ↓ (median depths²)") == r"CD $\downarrow$ (median depths$^2$)"


def test_pairwise_models_are_set_against_vggt():
    raw = pd.DataFrame(
        [
            {"method": "vggt", "label": "VGGT", "time_s": 0.1, "flops": 4e9},
            {"method": "dust3r", "label": "DUSt3R", "time_s": 1.5, "flops": 12e9},
            {"method": "mast3r", "label": "MASt3R", "time_s": None, "flops": None},
        ]
    )
    notes = ratio_notes(Table("t", "t", "c", raw, raw))
    assert len(notes) == 1
    assert "15.0 times VGGT's time and 3.0 times its FLOPs (reported: 9.7 and 0.88)" in notes[0]
    assert ratio_notes(Table("t", "t", "c", raw[1:], raw[1:])) == []


def test_network_and_alignment_have_columns_of_their_own():
    options = "{}"
    cells = [
        {"method": m, "label": m, "kind": k, "options": options, "backbone": b}
        for m, k, b in (("vggt", "backbone", "vggt"), ("dust3r", "model", "dust3r"))
    ]
    table = pd.DataFrame(
        [
            {**c, "cell": c["method"], "dataset": "scannet", "frames": 4, "seed": 0, "scene": "s"}
            for c in cells
        ]
    )
    profiles = pd.DataFrame(
        [
            {
                **cells[0],
                "frames": 4,
                "status": "ok",
                "seconds": [0.1],
                "flops": 4e9,
                "phase_seconds": {},
                "phase_peak_bytes": {},
            },
            {
                **cells[1],
                "frames": 4,
                "status": "ok",
                "seconds": [1.5],
                "flops": 12e9,
                "phase_seconds": {"network": [0.3], "alignment": [1.2]},
                "phase_peak_bytes": {"network": 4e8, "alignment": 5e8},
            },
        ]
    )
    facts = pd.DataFrame(
        [
            {
                **cells[1],
                "graph": "complete",
                "edges": 12,
                "alignment_converged": True,
                "alignment_loss": 1.0,
                "alignment_start_loss": 2.0,
            }
        ]
    )
    plan = SimpleNamespace(cells=[SimpleNamespace(id=c["method"], tables=["main"]) for c in cells])
    found = pairwise(Evidence(plan, table, profiles, facts, pd.DataFrame(), 4, "", "about"))
    row = found.shown.iloc[0]
    assert (row["network (s)"], row["alignment (s)"], row["total (s)"]) == ("0.3", "1.2", "1.5")
    assert (row["time / VGGT"], row["FLOPs / VGGT"], row["settled"]) == ("15.00", "3.00", "1/1")
    assert found.shown.iloc[1]["time / VGGT"] == "(9.7)"  # the paper's own, in parentheses
    assert (
        pairwise(Evidence(plan, table, profiles[:1], facts, pd.DataFrame(), 4, "", "about")) is None
    )


def test_crossovers_and_exponents():
    frames = np.array([2.0, 4, 8, 16, 32])
    assert exponent(frames, 3 * frames**1.5) == pytest.approx(1.5)
    linear, quadratic = 10 * frames, frames**2
    assert crossover(frames, linear, quadratic) == pytest.approx(10)
    assert crossover(frames, quadratic, linear) == np.inf
    assert crossover(frames, linear, 2 * linear) == 2
    assert np.isnan(crossover(frames, linear, np.full(5, np.nan)))
    dips = np.array(
        [1.0, 30, 90, 150, 300]
    )  # cheaper, dearer, cheaper in the end: the last change counts
    assert 4 < crossover(frames, dips, np.array([2.0, 20, 80, 160, 320])) < 16
    assert [crossover_text(v, 2) for v in (np.nan, np.inf, 2.0, 9.7)] == [
        "–",
        "not measured to",
        "all, from 2",
        "about 10",
    ]


def test_times_are_compared_with_calls_taken_in_turn():
    """A backbone that was slowed down when it was measured alone must not make a method look fast."""
    cells = {"vggt": ("VGGT", 4.0), "fast": ("fast", 1.0), "dust3r": ("DUSt3R", 9.0)}
    rows = pd.DataFrame(
        [
            {
                "method": m,
                "label": label,
                "backbone": "dust3r" if m == "dust3r" else "vggt",
                "options": "{}",
                "frames": n,
                "seconds": [factor * n] * 3,
                "flops": 1e9 * n,
                "peak_rss_bytes": 1e9,
                "peak_gpu_bytes": None,
                "reference_seconds": [0.5 * n] * 3 if m == "fast" else [],
            }
            for m, (label, factor) in cells.items()
            for n in (2, 4, 8)
        ]
    )
    plain, fast, pairs = grown(rows)
    assert (plain.name, fast.name, pairs.name) == ("VGGT", "fast, VGGT", "DUSt3R")
    assert np.isnan(plain.crossovers["time (s)"])
    assert fast.crossovers["time (s)"] == np.inf  # twice the backbone's time, measured beside it
    assert pairs.crossovers["time (s)"] == np.inf
    assert fast.exponents == pytest.approx({"time (s)": 1, "peak memory (GB)": 0, "FLOPs (G)": 1})
