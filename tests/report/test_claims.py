"""The claims ledger: every claim has a rule, and the rule computes its verdict."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from bench3r.api.method import METHODS
from bench3r.protocols import metric_of
from bench3r.report.claims import judge, rules, verdict
from bench3r.report.claims.arithmetic import OPERATIONS, RELATIONS, arithmetic
from bench3r.report.claims.ledger import FILE, Ledger, ledger
from bench3r.report.sections.claims import contradictions_table


def test_every_claim_gets_a_verdict(reports):
    table = (reports / "page" / "tables" / "claims.csv").read_text()
    assert verdict.HOLDS in table
    assert verdict.FAILS in table
    assert any(word in table for word in (verdict.SAME, verdict.OTHER, verdict.UNDECIDED))


def test_every_claim_has_a_rule_that_is_known():
    claims = ledger().claims
    assert len(ledger().by_id) == len(claims) > 200
    known = (*judge.JUDGES, rules.Arithmetic, rules.Elsewhere)
    for claim in claims:
        assert isinstance(claim.rule, known), claim.id
        if isinstance(claim.rule, rules.Elsewhere):
            assert claim.rule.command, claim.id
    data = yaml.safe_dump(yaml.safe_load(FILE.read_text()))
    assert "verdict" not in data, "no verdict is typed by hand"


def test_rules_name_methods_and_metrics_that_exist():
    for key in ledger().metrics.values():
        assert metric_of(*key.split("/")).better
    for claim in ledger().claims:
        method = getattr(claim.rule, "method", None)
        if method is not None:
            METHODS.get(method)


def test_arithmetic_uses_known_words_and_claims():
    for entry in (*ledger().claims, *ledger().contradictions):
        if isinstance(entry.rule, rules.Arithmetic):
            assert arithmetic(entry.rule, ledger()).why, entry.id
            assert entry.rule.op in {*OPERATIONS, *RELATIONS, "all", "largest_below"}


def test_a_rule_of_another_kind_is_refused():
    raw = yaml.safe_load(FILE.read_text())
    raw["claims"][0]["rule"] = {"kind": "by hand", "verdict": "true"}
    with pytest.raises(ValidationError, match="by hand"):
        Ledger.model_validate(raw)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"op": "ratio", "of": [10, 2], "expect": 5, "within": 0.1}, verdict.HOLDS),
        ({"op": "ratio", "of": [10, 2], "expect": 6, "within": 0.1}, verdict.FAILS),
        ({"op": "reduction", "of": [80, 100], "expect": [18, 22], "within": 0}, verdict.HOLDS),
        ({"op": "increasing", "of": [1, 3, 2], "expect": True, "within": 0}, verdict.FAILS),
        ({"op": "largest_below", "of": [0.5, 2], "expect": 1, "within": 0}, verdict.FAILS),
        (
            {
                "op": "reduction",
                "of": ["SM-T4-D2-flops", "SM-T2-VGGT-flops"],
                "expect": "SM-T4-D2-speedup",
                "within": 0.5,
            },
            verdict.HOLDS,
        ),
    ],
)
def test_arithmetic_of_claims(rule, expected):
    assert arithmetic(rules.Arithmetic.model_validate(rule), ledger()).verdict == expected


def test_contradictions_are_recomputed():
    rows = contradictions_table().raw.set_index("id")
    assert rows.loc["X02", "recomputed"] == "confirmed"
    assert "1.69" in rows.loc["X02", "numbers"]
    assert set(rows["recomputed"]) <= {"confirmed", "–", "agrees after all"}
