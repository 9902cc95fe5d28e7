"""Captions say what their own table stands on, and nothing of the rest of the run."""

from __future__ import annotations

import pandas as pd

from bench3r.report.captions import caption_of, cost_caption, data_text, weights_text
from bench3r.report.columns import column_of
from bench3r.report.comparison import comparison
from bench3r.report.sections.depths import depth_table
from bench3r.report.sections.fidelity import fidelity_table
from bench3r.report.sections.layers import layer_words
from bench3r.report.sections.training import training_table
from bench3r.report.settings import Setting
from tests.helpers.evidence import COLUMN, cell, cost, evidence, rows

FAR = column_of("fidelity/depth_absrel")
ONE = Setting("spark3r", "Spark3R", "plugin", "{}", "vggt")


def two_datasets() -> pd.DataFrame:
    """Four procedural scenes of ScanNet, three real ones of DTU scored by two rules."""
    scannet = rows({"m": [0.1] * 4}).assign(dataset="scannet", procedural=True, device="CPU A")
    dtu = rows({"m": [0.2] * 3}).assign(dataset="dtu", procedural=False, device="CPU A")
    far = rows({"m": [0.3] * 3}, column=FAR).assign(dataset="dtu", device="CPU A")
    return pd.concat([scannet, dtu, far.assign(procedural=False)], ignore_index=True)


def test_a_caption_states_datasets_scenes_rules_and_device():
    table = two_datasets()
    text = caption_of(evidence(table), table, [COLUMN])
    assert "PROCEDURAL scenes in the layout of ScanNet, not the real data (4 scenes)" in text
    assert "DTU (3 scenes, real data)" in text
    assert "4 frames a scene" in text
    assert "n = 7 scenes that every row finished." in text
    assert "Scored by depth by median scale." in text
    assert "Tiny models, shipped weights, fp32, on CPU A" in text


def test_a_caption_says_which_column_has_fewer_scenes():
    table = two_datasets()
    text = caption_of(evidence(table), table, [COLUMN, FAR])
    assert f"n = 7 scenes that every row finished ({FAR.title}: 3)." in text


def test_a_table_of_one_dataset_names_no_other():
    table = two_datasets()
    own = table[table["dataset"].eq("dtu")]
    text = caption_of(evidence(table), own, [COLUMN])
    assert "ScanNet" not in text
    assert "n = 3 scenes" in text


def test_costs_state_their_input_and_calls():
    seconds = {"seconds": [0.1] * 7, "image_size": (72, 96), "device": "GPU B"}
    text = cost_caption(evidence(two_datasets()), [cost(ONE, **seconds)])
    assert text.startswith("4 images of 72 x 96 pixels; n = 7 timed calls.")
    assert "on GPU B" in text


def test_weights_are_called_by_where_they_come_from():
    assert weights_text("train") == "weights trained in this run"
    assert weights_text("hub:facebook/VGGT-1B@abc") == "weights facebook/VGGT-1B@abc"
    assert weights_text({"vggt": "shipped"}) == "VGGT: shipped weights"


def test_rows_without_a_scene_say_so():
    assert data_text(two_datasets().iloc[:0]) == "No scene was planned."


def test_fidelity_counts_the_scenes_that_it_scores():
    """9/9 stood over 3 scenes, because scenes of datasets that it does not score were counted."""
    table = two_datasets().assign(**ONE._asdict())
    e = evidence(table, cells=[cell(ONE)])
    e.plan.cells[0].id = "m"
    e.plan.config.protocols_for = lambda name: ["fidelity"] if name == "dtu" else []
    (found,) = fidelity_table(e)
    assert found.shown["n/N"].tolist() == ["3/3"]
    assert "ScanNet" not in found.caption


def test_a_training_ships_only_where_its_record_says_so():
    """NaN is true: all trainings of a run were said to ship."""
    e = evidence(two_datasets())
    e.trainings = pd.DataFrame(
        {
            "method": ["base", "spark3r", "spark3r"],
            "options": ["{}", "{}", "{}"],
            "backbone": "vggt",
            "steps": 30.0,
            "scenes": 4.0,
            "seconds": 1.0,
            "seed": 0,
            "device": "CPU A",
            "shipped": [True, float("nan"), None],
        }
    )
    (found,) = training_table(e)
    assert found.shown["ships with the project"].tolist() == ["yes", "no", "no"]
    assert found.shown["method"].tolist() == ["the backbone itself", "Spark3R", "Spark3R"]
    assert found.shown["backbone"].tolist() == ["VGGT"] * 3


def test_layers_are_called_in_words():
    assert layer_words("aggregator.global_blocks.3.attn") == "global block 3"
    assert layer_words("camera_head.trunk.0.attn") == "camera head trunk 0"


def test_a_table_without_the_backbone_still_tells_what_is_saved():
    """Fidelity shows plug-ins alone, and its savings were a dash."""
    dense = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
    parts = []
    facts = []
    for one, flops in ((dense, 4.0), (ONE, 3.0)):
        parts.append(rows({one.method: [0.1, 0.2]}).assign(**one._asdict()))
        for scene in ("s0", "s1"):
            where = {"dataset": "d", "frames": 4, "seed": 0, "scene": scene}
            facts.append({"cell": one.method, **one._asdict(), **where, "flops": flops})
    e = evidence(pd.concat(parts), cells=[cell(dense), cell(ONE)], facts=pd.DataFrame(facts))
    own = e.table[e.table["method"].eq("spark3r")]
    table = comparison(e, own, (COLUMN,), name="t", title="t", costs=True)
    assert table.shown["saved FLOPs"].tolist() == ["25.0%"]


def test_variants_with_the_same_label_are_not_averaged():
    variants = [ONE, ONE._replace(options='{"kv_factor": 4}')]
    facts = []
    parts = []
    cells = []
    for place, (one, histogram) in enumerate(zip(variants, ([0, 4, 0], [0, 0, 4]), strict=True)):
        parts.append(rows({"m": [0.1]}).assign(cell=f"c{place}", **one._asdict()))
        where = {"dataset": "d", "frames": 4, "seed": 0, "scene": "s0", "scene_type": "indoor"}
        known = {"cell": f"c{place}", **one._asdict(), **where, "depth_histogram": histogram}
        facts.append(known)
        made = cell(one)
        made.id = f"c{place}"
        cells.append(made)
    e = evidence(pd.concat(parts), cells=cells, facts=pd.DataFrame(facts))
    (found,) = depth_table(e)
    assert found.raw["mean depth"].tolist() == [1.0, 2.0]
