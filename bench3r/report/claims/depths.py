"""Verdicts on options and recursion depths in a run, at its scale and on its data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM, Interval, holm
from bench3r.report.claims import here, rules_here
from bench3r.report.claims.decide import (
    Bounds,
    difference,
    mean_within,
    sign,
    significant,
    trend_p,
)
from bench3r.report.claims.directions import noise_of
from bench3r.report.claims.ledger import Claim, Ledger, half_digit
from bench3r.report.claims.verdict import (
    FAR,
    NEAR,
    OTHER,
    SAME,
    UNDECIDED,
    Verdict,
    lacking,
)
from bench3r.report.columns import Column, by_interval, column_of
from bench3r.report.evidence import Evidence
from bench3r.report.settings import Setting

FEWEST_VALUES = 3  # of an option, for one to be the best


def best_option(rule: rules_here.BestOption, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the expected value of an option is better than every other one."""
    column = column_of(ledger.metrics[rule.metric])
    settings = _by_value(rule, e)
    if len(settings) < FEWEST_VALUES or rule.expect not in settings:
        needed = f"{FEWEST_VALUES} values of {rule.option}, {rule.expect:g} among them"
        return lacking(f"{needed}; this run has {len(settings)}")
    values = {value: here.scores(e, column, setting) for value, setting in settings.items()}
    table = pd.DataFrame(values).dropna()
    if len(table) < 2:
        return lacking(f"two scenes with all values of {rule.option}")
    word, smallest = _best(table, float(rule.expect), column)
    means = ", ".join(f"{value:g}: {table[value].mean():.4f}" for value in sorted(values))
    return Verdict(
        word,
        found=f"{column.title} by {rule.option}: {means}; smallest adjusted p {smallest:.2g}",
        test=f"paired difference of {rule.expect:g} to every other value, corrected by Holm",
        threshold=f"better than all, each 95 % interval without 0, n ≥ {MARKS_FROM}",
        n=len(table),
        records=here.score_records(e, settings.values()),
    )


def _by_value(rule: rules_here.BestOption, e: Evidence) -> dict[float, Setting]:
    """The run's settings that differ in the option alone, by its value."""
    found = {}
    for cell in e.plan.cells:
        value = cell.options.get(rule.option)
        if cell.method != rule.method or not isinstance(value, int | float):
            continue
        choice = rules_here.Choice(method=rule.method, options={rule.option: value})
        setting = here.setting_of(e, choice)
        if setting is not None:
            found[float(value)] = setting
    return found


def _best(table: pd.DataFrame, expect: float, column: Column) -> tuple[str, float]:
    """Whether the expected column beats all others, or loses to one; the smallest adjusted p."""
    signs = []
    p_values = []
    for value in table:
        if value == expect:
            continue
        found = difference(table[expect], table[value])
        assert found is not None
        signs.append(sign(found, noise_of(column, table[value])))
        p_values.append(found.p)
    adjusted = holm(np.array(p_values))
    wanted = -1 if column.better == "lower" else 1
    decided = [one if significant(p) else 0 for one, p in zip(signs, adjusted, strict=True)]
    smallest = float(adjusted.min())
    if -wanted in decided:
        return OTHER, smallest
    return SAME if all(one == wanted for one in decided) else UNDECIDED, smallest


def depth_share(rule: rules_here.DepthShare, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Share of patches at a recursion depth, near the paper's or not."""
    assert isinstance(claim.value, int | float)
    setting = here.setting_of(e, rules_here.Choice(method=rule.method))
    if setting is None:
        return lacking(_no_depths(rule.scene_type))
    values = here.shares(e, setting, [rule.depth], rule.scene_type)
    if values.empty:
        return lacking(_no_depths(rule.scene_type))
    claimed = float(claim.value)
    near = ledger.tolerances.ratio * claimed + half_digit(claim.value)
    found, good = mean_within(values, Bounds(claimed - near, claimed + near))
    text = by_interval(found.mean, max(0.0, found.low), min(100.0, found.high), 1)
    return Verdict(
        {True: NEAR, False: FAR, None: UNDECIDED}[good],
        found=f"{text} % here, {claimed:g} % in the paper",
        test="mean over scenes",
        threshold=f"95 % interval inside or outside of {claimed:g} ± {near:.2g} %, "
        f"n ≥ {MARKS_FROM}",
        n=found.n,
        records=here.predict_records(e, [setting]),
    )


def deeper_on(rule: rules_here.DeeperOn, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether deep recursion grows over scene types in the claimed order."""
    setting = here.setting_of(e, rules_here.Choice(method=rule.method))
    by_type: dict[str, pd.Series] = {}
    for scene_type in rule.order:
        values = pd.Series(dtype=float)
        if setting is not None:
            values = here.shares(e, setting, rule.depths, scene_type)
        if values.empty:
            return lacking(_no_depths(scene_type))
        by_type[scene_type] = values
    assert setting is not None
    values = np.concatenate([values.to_numpy() for values in by_type.values()])
    groups = np.repeat(np.arange(len(by_type)), [len(v) for v in by_type.values()]).astype(float)
    p = trend_p(values, groups)
    rises = float(((groups - groups.mean()) * values).sum()) > 0
    word = UNDECIDED
    if significant(p) and len(values) >= MARKS_FROM:
        word = SAME if rises else OTHER
    shown = ", ".join(f"{kind} {v.mean():.1f} % (n = {len(v)})" for kind, v in by_type.items())
    return Verdict(
        word,
        found=f"share at recursion depths {', '.join(map(str, rule.depths))}: {shown}; p = {p:.2g}",
        test="trend of scenes over the order of their types, exact or 10,000 permutations",
        threshold=f"p ≤ 0.05, n ≥ {MARKS_FROM}",
        n=len(values),
        records=here.predict_records(e, [setting]),
        p=p,
    )


def no_steps(rule: rules_here.NoSteps, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the router's own choice never differs by more than one between neighbours."""
    setting = here.setting_of(e, rules_here.Choice(method=rule.method))
    values = pd.Series(dtype=float)
    if setting is not None:
        values = 100 * here.facts(e, setting, rule.chosen)
    if setting is None or values.empty:
        return lacking("recursion depths as the router chose them, before they are made smooth")
    broken = int((values > 0).sum())
    after = 100 * here.facts(e, setting, "violations").mean()
    word = OTHER if broken else SAME
    if not broken and len(values) < MARKS_FROM:
        word = UNDECIDED
    found = (
        f"{values.mean():.2g} % of neighbouring patches differ by more than one in the router's "
        f"own choice (largest {values.max():.2g} %, in {broken} of {len(values)} scenes); "
        f"{after:.2g} % in the map that is used, which is made smooth by construction"
    )
    return Verdict(
        word,
        found=found,
        test="largest share of neighbouring pairs over scenes; one counterexample refutes",
        threshold=f"0 % in every scene, n ≥ {MARKS_FROM}",
        n=len(values),
        records=here.predict_records(e, [setting]),
    )


def collapse(rule: rules_here.Collapse, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether nearly all patches stop early without a term of the loss, and fewer with it."""
    left_out = rules_here.Choice(method=rule.method, options=rule.without)
    settings = [here.setting_of(e, c) for c in (left_out, rules_here.Choice(method=rule.method))]
    without, usual = settings
    if without is None or usual is None:
        return lacking(f"{here.name_of_choice(left_out)}: measured by `{rule.command}`")
    own = here.shares(e, without, [rule.depth])
    balanced = here.shares(e, usual, [rule.depth])
    found = difference(own, balanced)
    if found is None:
        return lacking("recursion depths of both in two scenes or more")
    share, high = mean_within(own, Bounds(float(rule.at_least), np.inf))
    word = UNDECIDED
    if high is False or (found.decides and found.high <= 0):
        word = OTHER
    elif high and sign(found) > 0:
        word = SAME
    return Verdict(
        word,
        found=f"patches at recursion depth {rule.depth}: {_percent(share)} without balancing, "
        f"{balanced.mean():.1f} % with it, difference {_percent(found, signed=True)}",
        test="mean and paired difference over scenes",
        threshold=f"a collapse: {rule.at_least:g} % or more, and more than with balancing; "
        f"95 % intervals, n ≥ {MARKS_FROM}",
        n=found.n,
        records=here.predict_records(e, (without, usual)),
    )


def _percent(found: Interval, signed: bool = False) -> str:
    return f"{by_interval(found.mean, found.low, found.high, 1, signed=signed)} %"


def _no_depths(scene_type: str) -> str:
    return f"recursion depths of {scene_type} scenes"
