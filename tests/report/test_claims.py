"""The claims ledger: every claim has a rule, and the rule computes its verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

import pandas as pd
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.data.frame_lists import load_list
from bench3r.models.catalogue import backbones
from bench3r.protocols import metric_of
from bench3r.report.claims import judge, rules, rules_here, verdict
from bench3r.report.claims.arithmetic import OPERATIONS, RELATIONS, arithmetic
from bench3r.report.claims.conditions import COSTS
from bench3r.report.claims.ledger import FILE, Ledger, ledger
from bench3r.report.sections.claims import contradictions_table

T = TypeVar("T")


PLACE = re.compile(
    r"(Tables?|Fig\.|§|Appendix|[Aa]bstract|README|[Mm]ain text|ablation|table of|figure of) ?"
)


def test_every_claim_gets_a_verdict_that_states_what_it_rests_on(reports):
    folder = reports / "page" / "tables"
    judged = pd.read_csv(folder / "claims.csv", keep_default_na=False)
    others = pd.read_csv(folder / "claims_open.csv", keep_default_na=False)
    assert {*judged["id"], *others["id"]} == set(ledger().by_id)
    for name in ("found", "test", "n", "threshold", "records"):
        empty = judged[judged[name].astype(str).eq("")]
        assert empty.empty, (name, empty["id"].tolist())
    assert not others["missing"].eq("").any(), "what would judge them"
    computed = judged["verdict"].isin(verdict.COMPUTED)
    assert judged[computed]["records"].str.startswith("computed from the reported numbers").all()
    measured = judged[~computed & ~judged["verdict"].eq(verdict.FLOPS_AGREE)]
    for files in measured["records"]:
        for file in files.split("; "):
            assert (reports.parent / file).is_file()
    text = (folder / "claims.md").read_text()
    assert "cannot tell (n = 2)" in text
    assert "Families with their number of comparisons: CD" in text


def test_every_claim_says_where_it_stands():
    for claim in ledger().claims:
        assert PLACE.search(claim.source_table), (claim.id, claim.source_table)


def test_reported_numbers_have_their_names_and_units():
    claims = ledger().by_id
    assert claims["SP-T2-TUM-VGGT"].reported == "time_s 993.7 s, ate 0.018 m, rpe_t 0.009 m, " + (
        "rpe_r 0.294 deg"
    )
    assert claims["L3-T2-DTU64_VGGT_original"].reported.endswith(
        "latency_ms 482.45, memory_mb 5701"
    )
    assert claims["SM-T2-VGGT-CD"].reported == "1.72 (unit not stated)"
    assert claims["SM-H1"].reported == "18, 22 %"
    assert "1500_2gpu –" in claims["V3-T4-TTT3R"].reported


def test_every_claim_has_a_rule_that_is_known():
    claims = ledger().claims
    assert len(ledger().by_id) == len(claims) > 200
    known = (*judge.HERE, *judge.REPRODUCTIONS, rules.Arithmetic, rules.Elsewhere)
    for claim in claims:
        assert isinstance(claim.rule, known), claim.id
        if isinstance(claim.rule, rules.Elsewhere):
            assert claim.rule.why, claim.id
    data = yaml.safe_dump(yaml.safe_load(FILE.read_text()))
    assert "verdict" not in data, "no verdict is typed by hand"


def test_rules_name_methods_and_metrics_that_exist():
    for key in ledger().metrics.values():
        assert metric_of(*key.split("/")).better
    for claim in ledger().claims:
        method = getattr(claim.rule, "method", None)
        if method is not None:
            METHODS.get(method)
        for choice in parts_of(claim.rule, rules_here.Choice):
            METHODS.get(choice.method).Options.model_validate(choice.options)


def parts_of(model: BaseModel, kind: type[T]) -> Iterator[T]:
    """Every part of ``model`` that is a ``kind``, however deep."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, kind):
                yield part
            if isinstance(part, BaseModel):
                yield from parts_of(part, kind)


def subjects() -> list[rules.Subject]:
    """What the ledger's rules and tables say was measured."""
    book = ledger()
    found = [s for claim in book.claims for s in parts_of(claim.rule, rules.Subject)]
    for numbers in book.tables.values():
        for number in numbers:
            found += parts_of(number, rules.Subject)
    return found


def test_what_papers_measured_can_be_run_or_is_known_to_be_outside():
    outside = ledger().outside
    assert not set(outside) & {*METHODS.files(), *backbones()}, "they are part of Bench3R by now"
    for subject in subjects():
        if subject.method in outside:
            continue
        given = METHODS.get(subject.method).Options.model_validate(subject.options)
        same = given.model_dump(mode="json")
        assert subject.options.items() <= same.items(), "as records have them"
        assert subject.backbone in {*backbones(), *outside}


def test_places_and_tables_are_used_and_exist():
    book = ledger()
    used = {c.rule.table for c in book.claims if isinstance(c.rule, rules.Measured)}
    assert used == set(book.tables)
    places = [number.place for numbers in book.tables.values() for number in numbers]
    for claim in book.claims:
        places += [case.place for case in parts_of(claim.rule, rules.Case)]
        places += [getattr(claim.rule, "place", places[0])]
    assert set(places) == set(book.places)
    for place in book.places.values():
        assert not place.dataset or place.lacks or place.dataset in DATASETS.files()
        assert not place.device or place.device in book.devices
        if place.frame_list:
            assert load_list(place.frame_list).fixes_frames == (place.frames == 0)
    for numbers in book.tables.values():
        for number in numbers:
            if "/" in number.quantity:
                assert metric_of(*number.quantity.split("/"))
            else:
                assert number.quantity in COSTS or number.lacks


@pytest.mark.parametrize(
    ("paper", "count"), [("Spark3R", 68), ("Lite3R", 21), ("VGG-T3", 40), ("FastVGGT", 16)]
)
def test_every_claim_of_these_papers_is_judged_by_records(paper, count):
    """None says "not measurable" whatever is measured, and none compares reported numbers alone."""
    own = [claim for claim in ledger().claims if claim.paper == paper]
    assert len(own) == count
    for claim in own:
        judged_by = (*judge.REPRODUCTIONS, rules_here.Compared)
        assert isinstance(claim.rule, judged_by), claim.id


def test_measured_rules_hold_no_reported_number_of_another_claim():
    """What is measured comes from records: a rule only says where to look for them."""
    for claim in ledger().claims:
        rule = claim.rule
        if not isinstance(rule, tuple(judge.REPRODUCTIONS)):
            continue
        text = rule.model_dump_json(exclude={"otherwise"})
        assert not [name for name in ledger().by_id if f'"{name}"' in text], claim.id
        if isinstance(rule, rules.Measured):
            numbers = ledger().tables[rule.table]
            values = claim.value if isinstance(claim.value, list) else [claim.value]
            assert len(numbers) == len(values), claim.id


def test_no_claim_is_compared_with_itself():
    """A claim's own number, or a part of it, is never all that its arithmetic compares."""
    for claim in ledger().claims:
        rule = getattr(claim.rule, "otherwise", None) or claim.rule
        if isinstance(rule, rules.Arithmetic) and rule.op in ("equal", "different"):
            assert len(set(map(str, rule.of))) == len(rule.of), claim.id


def test_arithmetic_uses_known_words_and_claims():
    for entry in (*ledger().claims, *ledger().contradictions):
        if isinstance(entry.rule, rules.Arithmetic):
            assert arithmetic(entry.rule, ledger()).found, entry.id
            for rule in (entry.rule, *parts_of(entry.rule, rules.Arithmetic)):
                known = {*OPERATIONS, *RELATIONS, "all", "range", "largest_below"}
                assert rule.op in known


def test_a_rule_of_another_kind_is_refused():
    raw = yaml.safe_load(FILE.read_text())
    raw["claims"][0]["rule"] = {"kind": "by hand", "verdict": "true"}
    with pytest.raises(ValidationError, match="by hand"):
        Ledger.model_validate(raw)


def test_contradictions_are_recomputed():
    rows = contradictions_table().raw.set_index("id")
    assert rows.loc["X02", "recomputed"] == "confirmed"
    assert "1.69" in rows.loc["X02", "numbers"]
    assert set(rows["recomputed"]) <= {"confirmed", "–", "agrees after all"}
