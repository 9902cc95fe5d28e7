"""The claims ledger: what papers say, each with a verdict computed by the rule that stands beside it in claims.yaml.

A claim about published sizes is never confirmed or refuted by a tiny model: then the verdict says what happened *here*.
``contradicted`` is left to claims whose own arithmetic fails, and to runs at full scale on the claimed data and device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench3r.api.method import METHODS, cost_of
from bench3r.metrics.statistics import paired_bootstrap
from bench3r.models.catalogue import unchanged_cost
from bench3r.report.adaptive import Evidence
from bench3r.report.summary import REFERENCE, Column, over_seeds, wide
from bench3r.report.tables import QUALITY, Table

FILE = Path(__file__).with_name("claims.yaml")
METRICS: dict[str, Column] = dict(zip(("CD", "F1", "dMSE"), QUALITY, strict=False))
COSTS = {"time": "seconds", "flops": "flops"}
HOLDS, FAILS = "the paper's numbers agree", "contradicted by the paper's own numbers"
SAME, OTHER, UNDECIDED = "same direction here", "other direction here", "no clear difference here"
LACKING, ELSEWHERE = "not in this run", "not measurable here"


@dataclass(frozen=True)
class Verdict:
    """What can be said about a claim, and why."""

    verdict: str
    why: str

    @property
    def judged(self) -> bool:
        """Whether something was found out."""
        return self.verdict not in (ELSEWHERE, LACKING)


@cache
def ledger() -> dict[str, list[dict[str, Any]]]:
    """Claims and contradictions as they stand in claims.yaml."""
    return dict(yaml.safe_load(FILE.read_text()))


@cache
def by_id() -> dict[str, dict[str, Any]]:
    """Claims by id."""
    return {c["id"]: c for c in ledger()["claims"]}


def term(value: float | str) -> float:
    """A number, or that of a claim: "ID" or "ID[place]". Raises KeyError for an unknown one."""
    if not isinstance(value, str):
        return float(value)
    match = re.fullmatch(r"(.+?)(?:\[(\d+)\])?", value)
    assert match
    found = by_id()[match[1]]["value"]
    return float(found[int(match[2])] if match[2] else found)


OPERATIONS: dict[str, Callable[[list[float]], float]] = {
    "ratio": lambda v: v[0] / v[1],
    "reduction": lambda v: 100 * (1 - v[0] / v[1]),
    "increase": lambda v: 100 * (v[0] / v[1] - 1),
    "difference": lambda v: v[0] - v[1],
    "sum": sum,
}
RELATIONS: dict[str, Callable[[list[float], float], bool]] = {  # of numbers and a tolerance
    "equal": lambda v, w: abs(v[0] - v[1]) <= w,
    "different": lambda v, w: abs(v[0] - v[1]) > w,
    "increasing": lambda v, w: all(a < b for a, b in pairwise(v)),
    "decreasing": lambda v, w: all(a > b for a, b in pairwise(v)),
    "smallest": lambda v, w: v[0] <= min(v),
    "largest": lambda v, w: v[0] >= max(v),
}


def arithmetic(rule: dict[str, Any]) -> Verdict:
    """Whether the paper's numbers give what is claimed; ``all``: whether they do in every one of several ways."""
    if rule["op"] == "all":
        each = [arithmetic(r) for r in rule["of"]]
        good = all(v.verdict == HOLDS for v in each)
        return Verdict(HOLDS if good else FAILS, "; ".join(v.why for v in each))
    values, within = [term(t) for t in rule["of"]], float(rule["within"])
    shown = ", ".join(
        f"{t} = {v:g}" if isinstance(t, str) else f"{v:g}"
        for t, v in zip(rule["of"], values, strict=True)
    )
    if rule["op"] == "largest_below":
        good, limit = max(values) < rule["expect"], rule["expect"]
        return Verdict(
            HOLDS if good else FAILS,
            f"largest of {shown}: {max(values):g}, claimed below {limit:g}",
        )
    if rule["op"] in RELATIONS:
        good = RELATIONS[rule["op"]](values, within)
        return Verdict(HOLDS if good else FAILS, f"{rule['op']}: {shown}")
    found, expect = OPERATIONS[rule["op"]](values), rule["expect"]
    low, high = (
        expect if isinstance(expect, list) else (term(expect) - within, term(expect) + within)
    )
    claimed = f"{expect[0]:g} to {expect[1]:g}" if isinstance(expect, list) else f"{term(expect):g}"
    good = low - 1e-9 <= found <= high + 1e-9
    return Verdict(
        HOLDS if good else FAILS, f"{rule['op']} of {shown} is {found:.4g}, claimed {claimed}"
    )


def _options_match(options: str, wanted: dict[str, Any]) -> bool:
    own = json.loads(options)
    return all(own.get(k) == v for k, v in wanted.items())


def _default(method: str, options: str, wanted: dict[str, Any]) -> bool:
    """Whether ``options`` are the method's defaults but for ``wanted``."""
    cls = METHODS.get(method)
    return bool(json.loads(options) == {**cls.Options().model_dump(mode="json"), **wanted})


def _scene_values(
    e: Evidence, column: Column, method: str, wanted: dict[str, Any]
) -> pd.Series | None:
    """Values of ``column`` by scene, of the default setting of ``method`` with the ``wanted`` options."""
    values = over_seeds(wide(e.table, column))
    keys = [k for k in values.columns if k[0] == method and _options_match(k[3], wanted)]
    exact = [k for k in keys if _default(method, k[3], wanted)]
    key = (exact or keys or [None])[0]
    return None if key is None else values[key].dropna()


def _compare(
    e: Evidence, column: Column, first: pd.Series | None, second: pd.Series | None, better: bool
) -> Verdict:
    """Whether ``first`` is better than ``second`` over common scenes, as claimed (``better``) or the other way round."""
    if first is None or second is None:
        return Verdict(LACKING, "one of the settings is not in this run")
    scenes = first.index.intersection(second.index)
    if len(scenes) < 2:
        return Verdict(LACKING, "fewer than two scenes have both")
    delta = paired_bootstrap(first[scenes].to_numpy(), second[scenes].to_numpy())
    text = f"{column.title}: difference {delta.mean:+.4f} [{delta.low:+.4f}, {delta.high:+.4f}] over {len(scenes)} scenes"
    if not delta.excludes_zero:
        return Verdict(UNDECIDED, text)
    is_better = (delta.mean < 0) == (column.better == "lower")
    return Verdict(SAME if is_better == better else OTHER, text)


def _cost(e: Evidence, quantity: str, method: str, wanted: dict[str, Any]) -> float | None:
    """Median seconds, or FLOPs, of a setting at this frame count."""
    if not len(e.profiles):
        return None
    rows = e.profiles[
        e.profiles["method"].eq(method)
        & e.profiles["frames"].eq(e.frames)
        & e.profiles["status"].eq("ok")
    ]
    rows = rows[[_options_match(o, wanted) for o in rows["options"]]] if len(rows) else rows
    exact = rows[[_default(method, o, wanted) for o in rows["options"]]] if len(rows) else rows
    rows = exact if len(exact) else rows
    if not len(rows):
        return None
    value = rows.iloc[0][COSTS[quantity]]
    return float(np.median(value)) if quantity == "time" else float(value)


def direction(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether the method is better or worse than VGGT here as it is in the paper."""
    own, reference = float(claim["value"]), term(rule["against"])
    if own == reference:
        return Verdict(
            ELSEWHERE, "the paper gives the same value for both: there is no direction to look for"
        )
    wanted = rule.get("options", {})
    if rule["metric"] in COSTS:
        mine, base = (
            _cost(e, rule["metric"], m, w) for m, w in ((rule["method"], wanted), (REFERENCE, {}))
        )
        if mine is None or base is None:
            return Verdict(LACKING, "the cost of one of the settings was not measured in this run")
        text = f"{mine / base:.3f} of VGGT's here, {own / reference:.3f} in the paper"
        return Verdict(SAME if (mine < base) == (own < reference) else OTHER, text)
    column = METRICS[rule["metric"]]
    better = (own < reference) == (column.better == "lower")
    first, second = (
        _scene_values(e, column, rule["method"], wanted),
        _scene_values(e, column, REFERENCE, {}),
    )
    return _compare(e, column, first, second, better)


def direction_options(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether the first options are better than the second."""
    column = METRICS[rule["metric"]]
    first, second = (_scene_values(e, column, rule["method"], rule[k]) for k in ("first", "second"))
    return _compare(e, column, first, second, better=True)


def best_option(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether the expected value of an option has the best mean."""
    column, values = METRICS[rule["metric"]], over_seeds(wide(e.table, METRICS[rule["metric"]]))
    found: dict[float, pd.Series] = {}
    for key in values.columns:
        value = json.loads(key[3]).get(rule["option"]) if key[0] == rule["method"] else None
        if value is not None and _default(rule["method"], key[3], {rule["option"]: value}):
            found[value] = values[key].dropna()
    if len(found) < 3:
        return Verdict(LACKING, f"fewer than three values of {rule['option']} are in this run")
    scenes = set.intersection(*(set(v.index) for v in found.values()))
    if not scenes:
        return Verdict(LACKING, "no scene has all values")
    means = {k: float(v[sorted(scenes)].mean()) for k, v in found.items()}
    best = min(means, key=lambda k: means[k] if column.better == "lower" else -means[k])
    text = (
        ", ".join(f"{rule['option']} {k:g}: {m:.4f}" for k, m in sorted(means.items()))
        + f"; {len(scenes)} scenes"
    )
    return Verdict(SAME if best == rule["expect"] else OTHER, text)


def _histograms(e: Evidence, method: str) -> pd.DataFrame:
    """Facts of a method's default setting that hold a depth histogram."""
    if not len(e.facts) or "depth_histogram" not in e.facts:
        return e.facts.iloc[:0]
    rows = e.facts[e.facts["method"].eq(method) & e.facts["depth_histogram"].notna()]
    return rows[[_default(method, o, {}) for o in rows["options"]]] if len(rows) else rows


def _shares(rows: pd.DataFrame) -> np.ndarray:
    """Mean share of patches at depth 1, 2, ..."""
    return np.mean(
        [np.array(h[1:], float) / max(1, sum(h[1:])) for h in rows["depth_histogram"]], 0
    )


def depth_share(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Share of patches at a depth, beside the paper's; the same when within ten points."""
    rows = _histograms(e, rule.get("method", "spatial_mor"))
    rows = rows[rows["scene_type"].eq(rule["scene_type"])] if len(rows) else rows
    if not len(rows):
        return Verdict(LACKING, f"no recursion depths of {rule['scene_type']} scenes in this run")
    shares = _shares(rows)
    own = 100 * float(shares[rule["depth"] - 1]) if rule["depth"] <= len(shares) else 0.0
    near = abs(own - float(claim["value"])) <= 10
    return Verdict(
        "near here" if near else "different here",
        f"{own:.1f} % here, {claim['value']:g} % in the paper",
    )


def deeper_on(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether deep recursion grows over scene types in the claimed order."""
    rows, deep = _histograms(e, rule["method"]), {}
    for kind in rule["order"]:
        own = rows[rows["scene_type"].eq(kind)] if len(rows) else rows
        if not len(own):
            return Verdict(LACKING, f"no recursion depths of {kind} scenes in this run")
        shares = _shares(own)
        deep[kind] = 100 * sum(float(shares[d - 1]) for d in rule["depths"] if d <= len(shares))
    values = list(deep.values())
    text = ", ".join(f"{k} {v:.1f} %" for k, v in deep.items())
    return Verdict(SAME if values == sorted(values) and values[0] < values[-1] else OTHER, text)


def no_steps(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether neighbouring patches never differ by more than one depth."""
    rows = _histograms(e, rule["method"])
    rows = rows[rows["violations"].notna()] if len(rows) and "violations" in rows else rows.iloc[:0]
    if not len(rows):
        return Verdict(LACKING, "no recursion depths in this run")
    before = (
        pd.to_numeric(rows["violations_before"], errors="coerce").sum()
        if "violations_before" in rows
        else np.nan
    )
    total = float(pd.to_numeric(rows["violations"]).sum())
    text = f"{total:.0f} neighbours differ by more than one in {len(rows)} scenes; {before:.0f} before maps are made smooth"
    return Verdict(SAME if total == 0 else OTHER, text)


def factor_asymmetry(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """Whether merging queries costs more quality than merging keys and values by the same factor."""
    column = METRICS["CD"]
    fixed = {"layers": "fixed"}
    query, key = (
        _scene_values(e, column, rule["method"], {**fixed, "query_factor": q, "kv_factor": k})
        for q, k in ((4, 1), (1, 4))
    )
    return _compare(e, column, key, query, better=True)


def published_exponent(rule: dict[str, Any], claim: dict[str, Any], e: Evidence) -> Verdict:
    """How FLOPs grow with frames at published size, from the closed form, between 300 and 1,000 frames."""
    method = METHODS.get(rule["method"])()
    few, many = (cost_of(method, unchanged_cost(REFERENCE, "full", n)).macs for n in (300, 1000))
    slope = float(np.log(many / few) / np.log(1000 / 300))
    good = abs(slope - rule["expect"]) <= rule["within"]
    text = f"exponent {slope:.2f} of counted FLOPs at published size (time was not measured)"
    return Verdict("FLOPs agree" if good else "FLOPs differ", text)


RULES: dict[str, Callable[[dict[str, Any], dict[str, Any], Evidence], Verdict]] = {
    "arithmetic": lambda rule, claim, e: arithmetic(rule),
    "direction": direction,
    "best_option": best_option,
    "direction_options": direction_options,
    "depth_share": depth_share,
    "deeper_on": deeper_on,
    "no_steps": no_steps,
    "factor_asymmetry": factor_asymmetry,
    "published_exponent": published_exponent,
    "elsewhere": lambda rule, claim, e: Verdict(
        ELSEWHERE, f"what would judge it: `{rule['command']}`"
    ),
}


def judge(claim: dict[str, Any], e: Evidence) -> Verdict:
    """The verdict on a claim. Raises KeyError for a rule that nobody wrote."""
    rule = claim["rule"]
    return RULES[rule["kind"]](rule, claim, e)


def _value(claim: dict[str, Any]) -> str:
    value = claim["value"]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text} {claim['unit']}" if claim["unit"] not in (None, "-", "1", 1) else text


def claims_table(e: Evidence) -> Table:
    """Every claim with its verdict."""
    found = [(c, judge(c, e)) for c in ledger()["claims"]]
    found.sort(key=lambda f: not f[1].judged)
    kept = (
        "id",
        "paper",
        "statement",
        "quantity",
        "unit",
        "conditions",
        "source_table",
        "evidence",
    )
    raw = pd.DataFrame(
        [
            {
                **{k: c.get(k) for k in kept},
                "value": json.dumps(c["value"]),
                "rule": json.dumps(c["rule"]),
                "verdict": v.verdict,
                "why": v.why,
            }
            for c, v in found
        ]
    )
    judged = [(c, v) for c, v in found if v.judged]
    shown = pd.DataFrame(
        [
            {
                "claim": c["statement"],
                "reported": _value(c),
                "source": f"{c['paper']}, {c['source_table']}",
                "verdict": v.verdict,
                "why": v.why,
            }
            for c, v in judged
        ]
    )
    tally = "; ".join(f"{v}: {n}" for v, n in raw["verdict"].value_counts().items())
    notes = [
        f"{len(judged)} of {len(found)} claims are judged ({tally}). The others, with the command that would judge them, "
        "are in claims.csv.",
        '"here" means in this run, at its scale and on its data (see the caption): it says nothing about published sizes. '
        '"contradicted" is about a paper\'s own numbers only.',
    ]
    return Table(f"claims{e.suffix}", "Claims ledger", e.about, shown, raw, notes)


def contradictions_table() -> Table:
    """Where papers contradict themselves or each other, recomputed from their own numbers where they gave any."""
    rows = []
    for entry in ledger()["contradictions"]:
        verdict = arithmetic(entry["rule"]) if entry["rule"]["kind"] == "arithmetic" else None
        state = (
            "–"
            if verdict is None
            else "agrees after all"
            if verdict.verdict == HOLDS
            else "confirmed"
        )
        rows.append(
            {
                "id": entry["id"],
                "paper": entry["paper"],
                "about": entry["topic"],
                "what": entry["statement"],
                "recomputed": state,
                "numbers": verdict.why if verdict else "–",
            }
        )
    table = pd.DataFrame(rows)
    notes = [
        "recomputed: the numbers that should agree, looked up among the claims and compared again; – where the "
        "contradiction is one of words."
    ]
    about = "From the papers' own numbers; nothing here was measured by Bench3R."
    return Table(
        "contradictions",
        "Contradictions inside and between papers",
        about,
        table.drop(columns="id"),
        table,
        notes,
    )
