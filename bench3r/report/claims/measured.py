"""Verdicts from the records of a run: what happened here, at this scale and on these data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench3r.api.method import METHODS, cost_of
from bench3r.metrics.statistics import paired_interval
from bench3r.models.catalogue import reference_backbone, unchanged_cost
from bench3r.report.claims import rules
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.lookup import has_defaults
from bench3r.report.claims.verdict import ELSEWHERE, LACKING, UNDECIDED, Verdict, same_if
from bench3r.report.columns import Column, column_of
from bench3r.report.evidence import CostRow, Evidence, Setting, settings_of
from bench3r.report.summary import over_seeds, wide

COSTS = ("time", "flops")  # quantities that the profile stage measures
NEAR = 10  # points of per cent by which shares of patches may differ
FEWEST_VALUES = 3  # of an option, for one to be the best
PUBLISHED_SCALE = "full"
PUBLISHED_FRAMES = (300, 1000)  # between which exponents at published size are taken


def direction(rule: rules.Direction, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the method is better or worse than the reference here as it is in the paper."""
    assert isinstance(claim.value, int | float)
    own = float(claim.value)
    reference = ledger.number(rule.against)
    if own == reference:
        why = "the paper gives the same value for both: there is no direction to look for"
        return Verdict(ELSEWHERE, why)
    if rule.metric in COSTS:
        return _cost_direction(rule, own / reference, e)
    column = column_of(ledger.metrics[rule.metric])
    first = _scene_values(e, column, rule.method, rule.options)
    second = _scene_values(e, column, reference_backbone(), {})
    return _compare(column, first, second, better=(own < reference) == (column.better == "lower"))


def direction_options(
    rule: rules.DirectionOptions, claim: Claim, ledger: Ledger, e: Evidence
) -> Verdict:
    """Whether the first options are better than the second."""
    column = column_of(ledger.metrics[rule.metric])
    first = _scene_values(e, column, rule.method, rule.first)
    second = _scene_values(e, column, rule.method, rule.second)
    return _compare(column, first, second, better=True)


def best_option(rule: rules.BestOption, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the expected value of an option has the best mean."""
    column = column_of(ledger.metrics[rule.metric])
    values = over_seeds(wide(e.table, column))
    found: dict[object, pd.Series] = {}
    for setting in values.columns:
        value = setting.values.get(rule.option) if setting.method == rule.method else None
        if value is not None and has_defaults(setting, {rule.option: value}):
            found[value] = values[setting]
    if len(found) < FEWEST_VALUES:
        return Verdict(LACKING, f"fewer than three values of {rule.option} are in this run")
    common = pd.DataFrame(found).dropna()  # scenes by values of the option
    if common.empty:
        return Verdict(LACKING, "no scene has all values")
    means = common.mean().sort_index()
    best = means.idxmin() if column.better == "lower" else means.idxmax()
    listed = [f"{rule.option} {value:g}: {mean:.4f}" for value, mean in means.items()]
    return same_if(best == rule.expect, f"{', '.join(listed)}; {len(common)} scenes")


def depth_share(rule: rules.DepthShare, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Share of patches at a recursion depth, beside the paper's."""
    assert isinstance(claim.value, int | float)
    rows = _histograms(e, rule.method, rule.scene_type)
    if rows.empty:
        return Verdict(LACKING, _no_depths(rule.scene_type))
    own = _share_at(rows, [rule.depth])
    near = abs(own - float(claim.value)) <= NEAR
    why = f"{own:.1f} % here, {claim.value:g} % in the paper"
    return Verdict("near here" if near else "different here", why)


def deeper_on(rule: rules.DeeperOn, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether deep recursion grows over scene types in the claimed order."""
    deep: dict[str, float] = {}
    for scene_type in rule.order:
        rows = _histograms(e, rule.method, scene_type)
        if rows.empty:
            return Verdict(LACKING, _no_depths(scene_type))
        deep[scene_type] = _share_at(rows, rule.depths)
    shares = list(deep.values())
    grows = shares == sorted(shares) and shares[0] < shares[-1]
    return same_if(grows, ", ".join(f"{k} {v:.1f} %" for k, v in deep.items()))


def no_steps(rule: rules.NoSteps, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether neighbouring patches never differ by more than one recursion depth."""
    rows = _histograms(e, rule.method)
    rows = rows[rows["violations"].notna()]
    if rows.empty:
        return Verdict(LACKING, "no recursion depths in this run")
    before = pd.to_numeric(rows["violations_before"], errors="coerce").sum()
    total = float(pd.to_numeric(rows["violations"]).sum())
    why = (
        f"{total:.0f} neighbours differ by more than one in {len(rows)} scenes; "
        f"{before:.0f} before maps are made smooth"
    )
    return same_if(total == 0, why)


def published_exponent(
    rule: rules.PublishedExponent, claim: Claim, ledger: Ledger, e: Evidence
) -> Verdict:
    """How FLOPs grow with frames at published size, from the closed form."""
    method = METHODS.get(rule.method)()
    few, many = PUBLISHED_FRAMES
    macs = []
    for frames in PUBLISHED_FRAMES:
        unchanged = unchanged_cost(reference_backbone(), PUBLISHED_SCALE, frames)
        macs.append(cost_of(method, unchanged).macs)
    slope = float(np.log(macs[1] / macs[0]) / np.log(many / few))
    good = abs(slope - rule.expect) <= rule.within
    why = f"exponent {slope:.2f} of counted FLOPs at published size (time was not measured)"
    return Verdict("FLOPs agree" if good else "FLOPs differ", why)


def _chosen(settings: Iterable[Setting], method: str, wanted: rules.Options) -> Setting | None:
    """A setting of ``method`` with the ``wanted`` options, if it can all others at defaults."""
    found: Setting | None = None
    for setting in settings:
        if setting.method != method or not wanted.items() <= setting.values.items():
            continue
        if has_defaults(setting, wanted):
            return setting
        found = found or setting
    return found


def _scene_values(
    e: Evidence, column: Column, method: str, wanted: rules.Options
) -> pd.Series | None:
    """Values of ``column`` by scene, of one setting of ``method``; None when the run has none."""
    values = over_seeds(wide(e.table, column))
    setting = _chosen(values.columns, method, wanted)
    return None if setting is None else values[setting].dropna()


def _compare(
    column: Column, first: pd.Series | None, second: pd.Series | None, better: bool
) -> Verdict:
    """Whether ``first`` is better than ``second`` over common scenes, or worse (not ``better``)."""
    if first is None or second is None:
        return Verdict(LACKING, "one of the settings is not in this run")
    scenes = first.index.intersection(second.index)
    if len(scenes) < 2:
        return Verdict(LACKING, "fewer than two scenes have both")
    delta = paired_interval(first[scenes].to_numpy(), second[scenes].to_numpy())
    interval = f"{delta.mean:+.4f} [{delta.low:+.4f}, {delta.high:+.4f}]"
    why = f"{column.title}: difference {interval} over {len(scenes)} scenes"
    if not delta.excludes_zero:
        return Verdict(UNDECIDED, why)
    is_better = (delta.mean < 0) == (column.better == "lower")
    return same_if(is_better == better, why)


def _cost_direction(rule: rules.Direction, ratio: float, e: Evidence) -> Verdict:
    """Whether the method costs less, or more, than the reference as it does in the paper."""
    own = _cost(e, rule.metric, rule.method, rule.options)
    reference = _cost(e, rule.metric, reference_backbone(), {})
    if own is None or reference is None:
        return Verdict(LACKING, "the cost of one of the settings was not measured in this run")
    label = METHODS.get(reference_backbone()).label
    why = f"{own / reference:.3f} of {label}'s here, {ratio:.3f} in the paper"
    return same_if((own < reference) == (ratio < 1), why)


def _cost(e: Evidence, quantity: str, method: str, wanted: rules.Options) -> float | None:
    """Median seconds, or FLOPs, of a setting at this frame count; None when not measured."""
    rows: dict[Setting, CostRow] = {}
    for row in e.measured():
        rows.setdefault(row.setting, row)
    setting = _chosen(rows, method, wanted)
    if setting is None:
        return None
    return rows[setting].median_seconds if quantity == "time" else rows[setting].flops


def _histograms(e: Evidence, method: str, scene_type: str = "") -> pd.DataFrame:
    """Facts of a method's default setting with a depth histogram, in scenes of one type or all."""
    rows = e.with_depths()
    rows = rows[rows["method"].eq(method)]
    if scene_type:
        rows = rows[rows["scene_type"].eq(scene_type)]
    default = [s.options for s in settings_of(rows) if has_defaults(s, {})]
    return rows[rows["options"].isin(default)]


def _share_at(rows: pd.DataFrame, depths: list[int]) -> float:
    """Mean share of patches at ``depths``, in per cent."""
    each = []
    for histogram in rows["depth_histogram"]:
        counts = np.array(histogram[1:], float)
        each.append(counts / max(1, counts.sum()))
    shares = np.mean(each, axis=0)
    chosen = np.isin(np.arange(1, len(shares) + 1), depths)
    return 100 * float(shares[chosen].sum())


def _no_depths(scene_type: str) -> str:
    return f"no recursion depths of {scene_type} scenes in this run"
