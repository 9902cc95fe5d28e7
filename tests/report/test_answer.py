"""The answer first: computed from records, robust to missing ones, honest with few scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench3r.files import write_text
from bench3r.report.answer import answer_of
from bench3r.report.answer_facts import CD, POSE
from bench3r.report.answer_table import ROWS
from bench3r.report.costs import CostRow
from bench3r.report.evidence import Evidence, RunEvidence
from bench3r.report.settings import Setting
from bench3r.run import paths
from bench3r.run.workflow import last_lines
from bench3r.stages.report import last_lines as terminal_text
from tests.helpers.evidence import cell, cost, evidence, rows

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
FAST = Setting("fastvggt", "FastVGGT", "plugin", "{}", "vggt")
SLOW = Setting("block_sparse", "block-sparse", "plugin", "{}", "vggt")
BAD = Setting("mor", "MoR", "plugin", "{}", "vggt")
CONTROL = Setting("shallow", "shallower", "plugin", '{"quarters": 4}', "vggt")
HALF = CONTROL._replace(options='{"quarters": 2}')
TRIVIAL = Setting("trivial", "trivial", "control", "{}", "vggt")
ERROR = {
    DENSE: 0.04,
    FAST: 0.045,
    SLOW: 0.041,
    BAD: 0.131,
    CONTROL: 0.05,
    HALF: 0.07,
    TRIVIAL: 0.13,
}
FLOPS = {DENSE: 4.0, FAST: 3.6, SLOW: 3.9, BAD: 2.6, CONTROL: 4.0, HALF: 2.0}
TIME = {DENSE: 1.0, FAST: 0.8, SLOW: 1.1, BAD: 0.99, CONTROL: 1.0, HALF: 0.6}
WOBBLE = (0.0, 0.01, 0.02, 0.005, 0.015, 0.008, 0.012, 0.003)  # of seconds, and of scenes


def costs_of(frames: int = 4, ratios: dict[Setting, float] | None = None) -> list[CostRow]:
    """Ten calls in turn with the backbone; those of MoR are noise around its own."""
    found = []
    for setting, ratio in (ratios or TIME).items():
        own = [ratio * (1 + w) for w in WOBBLE]
        if setting == BAD:
            own = [ratio + (0.2 if i % 2 else -0.2) for i in range(len(WOBBLE))]
        seconds = {"seconds": own, "reference_seconds": [1 + w for w in WOBBLE]}
        memory = {"peak_rss_bytes": 3e8, "baseline_rss_bytes": 2.8e8}
        found.append(cost(setting, frames=frames, **seconds, **memory))
    return found


def planted(scenes: int = 8, settings: tuple[Setting, ...] = tuple(ERROR)) -> Evidence:
    """MoR is as bad as the trivial control; FastVGGT alone is faster than its backbone."""
    parts = []
    facts = []
    cells = []
    for place, setting in enumerate(settings):
        errors = [ERROR[setting] + WOBBLE[i] * (1 + place / 50) for i in range(scenes)]
        angles = [1 - error for error in errors]
        for column, values in ((CD, errors), (POSE, angles)):
            part = rows({setting.method: values}, column=column)
            parts.append(part.assign(cell=f"c{place}", **setting._asdict()))
        for scene in range(scenes):
            where = {"dataset": "d", "frames": 4, "seed": 0, "scene": f"s{scene}"}
            flops = FLOPS.get(setting, float("nan")) * 1e9
            facts.append({"cell": f"c{place}", **setting._asdict(), **where, "flops": flops})
        one = cell(setting)
        one.id = f"c{place}"
        cells.append(one)
    known = [row for row in costs_of() if row.setting.place in {s.place for s in settings}]
    return evidence(pd.concat(parts), cells=cells, costs=known, facts=pd.DataFrame(facts))


def run_of(e: Evidence) -> RunEvidence:
    """A run of one frame count."""
    return RunEvidence(e.plan, e.table, [e], [], Path("nowhere/records.parquet"))


def told(e: Evidence) -> dict[str, str]:
    """The sentences by their first words, which are bold."""
    return {text.split("**")[1]: text for text in answer_of(run_of(e)).sentences}


def test_a_method_that_is_faster_call_by_call_is_named_with_its_loss():
    sentence = told(planted())["Time saved"]
    assert "FastVGGT 20" in sentence
    assert "% (8 pairs), CD +0.005" in sentence
    assert "(n = 8, worse)" in sentence
    assert "block-sparse" not in sentence
    assert "MoR" not in sentence.split("Most FLOPs saved")[0], "its pairs do not tell it apart"
    assert "For comparison: shallower (quarters 2) 40" in sentence
    assert "Most FLOPs saved: MoR 35.0%" in sentence


def test_who_is_no_better_than_a_shallower_model_is_named():
    sentences = told(planted())
    name = "No better than a plainly shallower model of the same FLOPs (CD)"
    assert "MoR" in sentences[name]
    assert "FastVGGT" not in sentences[name].split(".")[0]
    assert (
        "not beyond what that model lost by its own fine-tuning (at full depth +0.010"
        in (sentences[name])
    )


def test_who_is_no_better_than_trivial_is_named_and_marked():
    e = planted()
    assert "no better: MoR in CD" in told(e)["Against the trivial control"]
    table = answer_of(run_of(e)).table.shown.set_index("method")["against trivial"]
    assert "no better ‡" in table["MoR"]
    assert table["FastVGGT"] == "better"


def test_one_frame_count_cannot_tell_a_length():
    assert "cannot be told, times are of 4 frames alone" in told(planted())["Length"]


def test_the_length_from_which_attention_pays_is_that_of_paired_ratios():
    e = planted()
    e.costs = [row for row in e.costs if row.setting.method != "block_sparse"]
    for frames, ratio in ((8, 1.2), (16, 0.8), (32, 0.5)):
        e.costs += costs_of(frames, {FAST: ratio, SLOW: 1.1})
    e.costs = [row for row in e.costs if (row.method, row.frames) != ("fastvggt", 4)]
    sentence = told(e)["Less time than the unchanged backbone"]
    assert "FastVGGT, VGGT from about 1" in sentence
    assert "block-sparse, VGGT not up to 32" in sentence


def test_three_scenes_cannot_tell():
    sentences = told(planted(3))
    few = "3 scenes cannot tell one method from another (6 are needed)"
    assert few in sentences["Against the trivial control"]
    assert any(few in text for name, text in sentences.items() if name.startswith("Against a pl"))
    assert not any(word in text for text in sentences.values() for word in (" worse", " better:"))
    table = answer_of(run_of(planted(3))).table.shown
    assert set(table["against trivial"]) == {"too few scenes to tell"}


def test_there_are_three_to_five_sentences_and_at_most_eight_rows():
    found = answer_of(run_of(planted()))
    assert 3 <= len(found.sentences) <= 5
    assert len(found.table.shown) <= ROWS
    assert found.table.shown.columns.tolist() == [
        "method",
        POSE.title,
        CD.title,
        "time / backbone",
        "FLOPs (G)",
        "peak memory (MB)",
        "against trivial",
        "against equal cost",
    ]
    assert "chamfer_norm" not in found.table.markdown() + " ".join(found.sentences)


@pytest.mark.parametrize("left", [(DENSE,), (FAST,), (TRIVIAL,), (CONTROL, HALF), (FAST, BAD)])
def test_the_answer_bears_missing_methods(left):
    found = answer_of(run_of(planted(settings=left)))
    text = " ".join(found.sentences) + found.table.markdown()
    assert "nan" not in text
    assert "inf" not in text.replace("information", "")


@pytest.mark.parametrize("what", ["costs", "facts", "scores"])
def test_the_answer_bears_missing_records(what):
    e = planted()
    if what == "costs":
        e.costs = []
    elif what == "facts":
        e.facts = e.facts.iloc[:0]
    else:
        e.table = e.table.assign(value=float("nan"), status="error", reason="it broke")
    found = answer_of(run_of(e))
    text = " ".join(found.sentences) + found.table.markdown()
    assert "nan" not in text
    assert found.sentences


def test_a_run_prints_the_answer_of_its_report_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert last_lines("made-up") == "Read reports/made-up/index.md\n"
    out = paths.report("made-up")
    text = terminal_text(answer_of(run_of(planted())), out)
    write_text(paths.answer("made-up"), text)
    assert last_lines("made-up") == text
    assert "**" not in text
    assert "[" not in text.split("method")[-1], "intervals stay in the files"
    assert text.rstrip().endswith("index.html in a browser")
    assert max(len(line) for line in text.splitlines()[6:]) <= 130


def test_a_run_without_records_says_so():
    e = planted()
    run = RunEvidence(e.plan, e.table.iloc[:0], [], [], Path("nowhere/records.parquet"))
    assert answer_of(run).sentences == ("The run has no record yet.",)
