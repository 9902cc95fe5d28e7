"""Claims against papers' own numbers: whole claims, every number with its rounding."""

from __future__ import annotations

import pytest

from bench3r.report.claims import rules
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.ledger import Ledger, half_digit, ledger
from bench3r.report.claims.verdict import FAILS, HALF, HOLDS, Verdict
from bench3r.report.sections.claims import contradictions_table


def verdict_on(claim: str, book: Ledger) -> Verdict:
    """What the numbers of ``book`` say about one claim."""
    rule = book.by_id[claim].rule
    rule = getattr(rule, "otherwise", None) or rule
    assert isinstance(rule, rules.Arithmetic)
    return arithmetic(rule, book)


def altered(claim: str, places: dict[int, float]) -> Ledger:
    """The ledger with other numbers at ``places`` of a claim's."""
    book = ledger()
    own = book.by_id[claim]
    old = own.value if isinstance(own.value, list) else [own.value]
    new = [places.get(place, number) for place, number in enumerate(old)]
    value = new if isinstance(own.value, list) else new[0]
    changed = own.model_copy(update={"value": value})
    claims = [changed if one.id == claim else one for one in book.claims]
    return Ledger.model_construct(**{**dict(book), "claims": claims})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"op": "ratio", "of": [10.0, 2.0], "expect": 5.0}, HOLDS),
        ({"op": "ratio", "of": [10.0, 2.0], "expect": 6.0}, FAILS),
        ({"op": "ratio", "of": [10, 2], "expect": 6}, HOLDS),  # 9.5 / 1.5 is 6.3
        ({"op": "reduction", "of": [80.0, 100.0], "expect": [18, 22]}, HOLDS),
        ({"op": "increasing", "of": [1, 3, 2]}, FAILS),
        ({"op": "largest_below", "of": [0.5, 2.0], "expect": 1}, FAILS),
        ({"op": "equal", "of": [54, 55]}, HOLDS),  # both may be 54.5
        ({"op": "equal", "of": [54, 58]}, FAILS),
        ({"op": "among", "of": [168, 157.5, 172.2]}, FAILS),
        ({"op": "range", "of": [1.8, 2.0], "expect": [1.8, 2.0]}, HOLDS),
        ({"op": "range", "of": [1.9], "expect": [1.8, 2.0]}, HALF),
        ({"op": "range", "of": [1.7, 2.0], "expect": [1.8, 2.0]}, FAILS),
        ({"op": "ratio", "of": [9.0, 3.0], "expect": 3.0, "unchecked": "the rest"}, HALF),
        (
            {"op": "reduction", "of": ["SM-T4-D2-flops", "SM-T2-VGGT-flops"], "expect": 25},
            HOLDS,
        ),
        (
            {"op": "ratio", "of": [{"op": "sum", "of": [1.0, 2.0]}, 1.5], "expect": 2.0},
            HOLDS,
        ),
    ],
)
def test_arithmetic_of_claims(rule, expected):
    assert arithmetic(rules.Arithmetic.model_validate(rule), ledger()).verdict == expected


@pytest.mark.parametrize(
    ("value", "half"), [(54, 0.5), (11.6, 0.05), (58.0, 0.05), (0.065, 0.0005), (1162.7, 0.05)]
)
def test_rounding_is_that_of_the_last_printed_digit(value, half):
    assert half_digit(value) == pytest.approx(half)


@pytest.mark.parametrize(
    ("claim", "other", "places"),
    [
        ("PV-H1", "PV-H1", {3: 0.50}),  # as fast, and worse
        ("MR-H1", "MR-H1", {0: 2.80}),
        ("L3-H1", "L3-T2-DTU64_DA3-L_Lite3R", {2: 170.0}),  # the other backbone and dataset
        ("L3-H2", "L3-T2-DTU64_VGGT_Lite3R", {3: 4000}),
        ("V3-H7", "V3-T1-CD-VGG-T3", {5: 0.1}),
        ("AV-H2", "AV-H2", {1: 60.0}),
        ("SM-H2", "SM-T2-SpatialMoR-flops", {0: 190}),
    ],
)
def test_all_parts_of_a_claim_are_checked(claim, other, places):
    """A claim of which one part fails is contradicted."""
    assert verdict_on(claim, ledger()).verdict in (HOLDS, HALF)
    assert verdict_on(claim, altered(other, places)).verdict == FAILS


def test_what_numbers_cannot_tell_is_no_agreement():
    for claim in ("MR-H1", "SM-A5", "V3-H7"):
        found = verdict_on(claim, ledger())
        assert found.verdict == HALF
        assert found.missing.startswith("not checked: ")


def test_within_seconds_is_no_claim_of_one_second():
    found = verdict_on("VG-H1", ledger())
    assert found.verdict == HOLDS
    assert found.n == 9, "all frame counts"
    assert "within seconds" in ledger().by_id["VG-H1"].statement


def test_eleven_minutes_are_rounded():
    """660 / 54 is 12.2, but 10.5 min / 54.5 s is 11.56."""
    found = verdict_on("V3-H2", ledger())
    assert found.verdict == HOLDS
    assert "11.56 to 12.9 by rounding" in found.found


def test_verdicts_and_contradictions_agree_on_what_nothing_yields():
    """No configuration saves 22 %: neither the claim nor the table of contradictions says so."""
    assert verdict_on("SM-H1", ledger()).verdict == FAILS
    rows = contradictions_table().raw.set_index("id")
    assert rows.loc["X04", "recomputed"] == "confirmed"
    assert "15, 18, 20, 25" in rows.loc["X04", "numbers"]


def test_contradictions_compare_two_different_numbers():
    """X15 once compared VGGT's value with itself, X20 two backbones, X05 two other things."""
    rows = contradictions_table().raw.set_index("id")
    assert "1.72 from sum(1.69, 0.03) against 1.72" in rows.loc["X15", "numbers"]
    assert "3.1 against 0.03" in rows.loc["X20", "numbers"]
    assert "increase(210, 178.5) = 17.65" in rows.loc["X05", "numbers"]
    assert "1.986 from mean_place" in rows.loc["X07", "numbers"]


def test_a_claim_in_other_words_is_not_computed():
    """SLA-H1: 95 % less and 20 times less are one number."""
    assert isinstance(ledger().by_id["SLA-H1"].rule, rules.Elsewhere)
    for claim in ("SP-H9", "SP-H10"):
        assert isinstance(ledger().by_id[claim].rule, rules.Ordering), "not the table it quotes"
