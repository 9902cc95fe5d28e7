"""Tables of adaptive depth: SpatialMoR's tables I, IV and V, its ablations, savings, and the equal-cost comparison."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench3r.api.method import METHODS
from bench3r.metrics.statistics import paired_bootstrap
from bench3r.report.reported import SPATIALMOR_TABLE_4, SPATIALMOR_TABLE_5
from bench3r.report.summary import (
    REFERENCE,
    SCENE,
    SETTING,
    Column,
    common_scenes,
    over_seeds,
    settings,
    wide,
)
from bench3r.report.tables import (
    QUALITY,
    REGIONS,
    ROUTING,
    Table,
    comparison,
    flops_of,
    name_of,
    of_setting,
)
from bench3r.run.plan import Plan

CONTROL = "shallow"  # the method that adaptive ones are compared with at equal cost
ADAPTIVE = ("spatial_mor", "mor", "early_exit", "layer_skip")


@dataclass
class Evidence:
    """What the tables are made from, of one frame count."""

    plan: Plan
    table: pd.DataFrame
    profiles: pd.DataFrame
    facts: pd.DataFrame
    trainings: pd.DataFrame
    frames: int
    suffix: str
    about: str

    def rows_of(self, name: str) -> pd.DataFrame:
        """Rows of the cells that appear in table ``name``; ablations get the unchanged backbones' on the same scenes."""
        inside = {c.id for c in self.plan.cells if name in c.tables}
        chosen = self.table[self.table["cell"].isin(inside)]
        if name == "main":
            return chosen
        scenes = set(chosen.set_index(SCENE).index)
        dense = self.table["method"].isin(set(chosen["backbone"]) | {REFERENCE})
        dense &= self.table["kind"].eq("backbone")
        reference = self.table[dense & self.table.set_index(SCENE).index.isin(scenes)]
        return pd.concat([reference, chosen]).drop_duplicates()

    def everywhere(self) -> pd.DataFrame:
        """Rows of the main methods and of SpatialMoR's maximum depths: what runs on every dataset."""
        return pd.concat([self.rows_of("main"), self.rows_of("max_depth")]).drop_duplicates()


COMPONENTS = {
    "spatial segmentation (patch embed)": ("patch_embed",),
    "recursion router": ("router", "routers"),
    "norms before recursions": ("recursion_norms",),
    "recursive block, frame attention": ("frame_blocks",),
    "recursive block, global attention": ("global_blocks",),
    "camera head": ("camera_head",),
    "depth head": ("depth_head",),
    "point head": ("point_head",),
}


def components(e: Evidence) -> Table | None:
    """Table I: parameters and FLOP shares of SpatialMoR's components, read from the model, beside VGGT's."""
    found = {}
    for method in ("vggt", "spatial_mor") if len(e.profiles) else ():
        rows = e.profiles[
            (e.profiles["method"] == method)
            & (e.profiles["frames"] == e.frames)
            & e.profiles["status"].eq("ok")
        ]
        if len(rows):
            found[method] = rows.iloc[0]
    if "spatial_mor" not in found:
        return None
    shown, raw = {"component": list(COMPONENTS)}, {"component": list(COMPONENTS)}
    for method, row in found.items():
        parameters = [
            sum(row["parameters_by_part"].get(p, 0) for p in parts) for parts in COMPONENTS.values()
        ]
        macs = [sum(row["flops_by_part"].get(p, 0) for p in parts) for parts in COMPONENTS.values()]
        raw |= {f"{method}/parameters": parameters, f"{method}/flops": macs}
        shown[f"{row['label']}: parameters"] = [f"{p:,}" for p in parameters]
        shown[f"{row['label']}: share of FLOPs"] = [f"{m / row['flops']:.1%}" for m in macs]
    note = "VGGT's trunk has a pair of blocks of its own where SpatialMoR applies the shared ones again."
    return Table(
        f"table1{e.suffix}",
        "Components (SpatialMoR's Table I)",
        e.about,
        pd.DataFrame(shown),
        pd.DataFrame(raw),
        [note],
    )


def regions(e: Evidence) -> Table:
    """Table III made measurable."""
    table = comparison(
        e.rows_of("main"),
        e.profiles,
        REGIONS,
        e.frames,
        False,
        f"table3{e.suffix}",
        "Simple and complex regions, detail, seams (SpatialMoR's Table III, measured)",
        e.about,
    )
    table.notes += [
        "A patch is complex when its true surface is farther from a plane than the median patch of its scene; roughness is "
        "the predicted surface's distance from a plane in simple patches; detail is the share of the true log-depth "
        "gradient that the prediction has in complex ones.",
        "Seam index: error of the depth step at borders between patches of different recursion depth over that at other "
        "borders. The paper describes these characteristics in words only.",
    ]
    return table


def routing(e: Evidence) -> Table | None:
    """Where depth went: correlation with complexity, agreement of views, violations, collapse."""
    rows = e.everywhere()
    rows = rows[rows["method"].isin(["mor", "spatial_mor"])]
    if not len(rows):
        return None
    table = comparison(
        rows,
        e.profiles,
        ROUTING,
        e.frames,
        False,
        f"routing{e.suffix}",
        "Where recursion depth was spent",
        e.about,
    )
    extra = [of_setting(e.facts, r) for _, r in settings(rows).iterrows()]
    for title, fact in (
        ("violations", "violations"),
        ("violations before", "violations_before"),
        ("raised", "raised_share"),
    ):
        values = [pd.to_numeric(f[fact]).mean() if len(f) else np.nan for f in extra]
        table.shown[title] = [f"{v:.1%}" if np.isfinite(v) else "–" for v in values]
        table.raw[fact] = values
    collapsed = [int(f["collapsed"].eq(True).sum()) if len(f) else 0 for f in extra]
    table.shown["collapsed"] = [f"{c}/{len(f)}" for c, f in zip(collapsed, extra, strict=True)]
    table.raw["collapsed"] = collapsed
    table.notes += [
        "ρ: rank correlation of recursion depth with the patch's true geometric complexity or its texture. Agreement: share "
        "of corresponding patches of different views with the same depth; by chance: what independent draws would give.",
        "violations: neighbouring patches whose depths differ by more than one; before: of the router's own choice, before "
        "the smallest smooth map above it is taken (raised: share of patches that this lifts). The paper claims that the "
        "router alone has none. collapsed: scenes in which every patch got the same depth.",
    ]
    return table


def savings(e: Evidence) -> Table | None:
    """Counted saving beside the one predicted from the depths and the rule of thumb, and the time that was saved."""
    rows = e.everywhere()
    rows = rows[rows["method"].isin(ADAPTIVE)]
    if not len(rows) or not len(e.facts):
        return None
    listed = []
    for _, setting in settings(rows).iterrows():
        own = of_setting(e.facts, setting)
        if not len(own):
            continue
        mean = {
            k: pd.to_numeric(own[k]).mean()
            for k in ("f", "m", "K", "counted_saving", "predicted_saving", "rule_saving")
        }
        listed.append(
            {"method": name_of(setting, rows), **mean, "time_saving": _time_saving(e, setting)}
        )
    if not listed:
        return None
    raw = pd.DataFrame(listed)
    digits = {"f": ".2f", "m": ".2f", "K": ".0f"}
    shown = raw.copy().astype(object)
    for column in raw.columns[1:]:
        form = digits.get(column, ".1%")
        shown[column] = [format(v, form) if np.isfinite(v) else "–" for v in raw[column]]
    shown = shown.rename(
        columns={
            "counted_saving": "FLOPs saved, counted",
            "predicted_saving": "predicted from depths",
            "rule_saving": "f (1 - m / K)",
            "time_saving": "time saved",
        }
    )
    notes = [
        "f: share of VGGT's FLOPs in the part that recursion replaces, m: mean depth, K: recursions of equal cost. Means "
        "over scenes; time from the profile stage, where method and VGGT take turns in one process.",
    ]
    return Table(f"savings{e.suffix}", "What adaptive depth saves", e.about, shown, raw, notes)


def _time_saving(e: Evidence, setting: pd.Series) -> float:
    """1 - median seconds / the unchanged backbone's, timed in turn in one process; NaN when not measured."""
    rows = of_setting(e.profiles, setting)
    rows = rows[(rows["frames"] == e.frames) & rows["status"].eq("ok")] if len(rows) else rows
    if not len(rows) or not rows.iloc[0]["reference_seconds"]:
        return float("nan")
    return 1 - float(
        np.median(rows.iloc[0]["seconds"]) / np.median(rows.iloc[0]["reference_seconds"])
    )


def maximum_depth(e: Evidence) -> Table | None:
    """Table IV: maximum depth against quality and FLOPs, the paper's row beside each."""
    rows = e.rows_of("max_depth")
    if not rows["method"].eq("spatial_mor").any():
        return None
    table = ablation(e, "max_depth")
    for column in ("CD", "FLOPs", "saving"):
        values = [
            SPATIALMOR_TABLE_4.get(_option(o, "max_depth")) if m == "spatial_mor" else None
            for m, o in zip(table.raw["method"], table.raw["options"], strict=True)
        ]
        table.shown[f"reported {column}"] = [f"({v[column]:g})" if v else "–" for v in values]
    table.name, table.title = f"table4{e.suffix}", "Maximum recursion depth (SpatialMoR's Table IV)"
    table.notes.append(
        "Values in (parentheses) are reported by SpatialMoR, Table IV, in units and at a scale that it does not state."
    )
    return table


def _option(options: str, name: str) -> int:

    return int(json.loads(options).get(name, -1))


def ablation(e: Evidence, name: str) -> Table:
    """One ablation: the method's variants and VGGT, quality and cost."""
    rows = e.rows_of(name)
    title = f"Ablation: {name.replace('_', ' ')}"
    return comparison(
        rows,
        e.profiles,
        QUALITY,
        e.frames,
        True,
        f"ablation_{name}{e.suffix}",
        title,
        e.about,
        e.facts,
    )


def distribution(e: Evidence) -> Table | None:
    """Table V: share of patches per recursion depth and scene type, for the main SpatialMoR and MoR rows."""
    main = {c.id for c in e.plan.cells if "main" in c.tables}
    facts = (
        e.facts[e.facts["cell"].isin(main) & e.facts["depth_histogram"].notna()]
        if len(e.facts)
        else e.facts
    )
    if not len(facts):
        return None
    listed = []
    for (label, kind), rows in facts.groupby(["label", "scene_type"], sort=False):
        counts = np.sum([np.asarray(h[1:]) for h in rows["depth_histogram"]], axis=0)
        shares = counts / counts.sum()
        listed.append(
            {
                "method": label,
                "scene type": kind,
                **{f"D{i + 1}": s for i, s in enumerate(shares)},
                "mean depth": float(shares @ np.arange(1, len(shares) + 1)),
                "scenes": len(rows),
            }
        )
    raw = pd.DataFrame(listed)
    shown = raw.astype(object)
    for column in [c for c in raw.columns if c.startswith("D")]:
        shown[column] = [f"{v:.1%}" if np.isfinite(v) else "–" for v in raw[column]]
    shown["mean depth"] = [f"{v:.2f}" for v in raw["mean depth"]]
    reported = [
        {
            "method": "SpatialMoR, reported",
            "scene type": t,
            **{f"D{i + 1}": f"({v:.1%})" for i, v in enumerate(s)},
            "mean depth": f"({sum((i + 1) * v for i, v in enumerate(s)):.2f})",
            "scenes": "–",
        }
        for t, s in SPATIALMOR_TABLE_5.items()
    ]
    notes = [
        "Share of patches per number of recursions. Values in (parentheses) are reported by SpatialMoR, Table V, for real "
        "ScanNet, DTU and Mip-NeRF 360.",
    ]
    shown = pd.concat([shown, pd.DataFrame(reported)], ignore_index=True).fillna("–")
    return Table(
        f"table5{e.suffix}", "Depth distribution (SpatialMoR's Table V)", e.about, shown, raw, notes
    )


def control_curve(
    values: pd.DataFrame, costs: dict[tuple[str, ...], float]
) -> list[tuple[float, pd.Series]]:
    """FLOPs and per-scene values of the control's settings, ascending in FLOPs."""
    points = [
        (costs[k], values[k])
        for k in values.columns
        if k[0] == CONTROL and np.isfinite(costs.get(k, np.nan))
    ]
    return sorted(points, key=lambda p: p[0])


def at_cost(curve: list[tuple[float, pd.Series]], flops: float) -> tuple[pd.Series, str]:
    """The control's per-scene values at ``flops``, linear between its settings; beyond them the nearest, and a remark."""
    if flops <= curve[0][0]:
        return curve[0][1], f"costs {flops / curve[0][0] - 1:+.1%} against the cheapest control"
    if flops >= curve[-1][0]:
        return curve[-1][1], f"costs {flops / curve[-1][0] - 1:+.1%} against the dearest control"
    for (a, low), (b, high) in itertools.pairwise(curve):
        if a <= flops <= b:
            share = (flops - a) / (b - a)
            return (1 - share) * low + share * high, "between two controls"
    raise AssertionError("the curve is sorted")


def equal_cost(e: Evidence) -> Table | None:
    """Adaptive methods against plainly shallower VGGT at the same FLOPs, paired by scene."""
    table = e.everywhere()
    table = table[table["kind"] != "control"]
    rows, common = settings(table), common_scenes(table)
    if CONTROL not in set(rows["method"]) or not len(e.facts):
        return None
    costs = {tuple(r[SETTING]): flops_of(e.facts, r, common) for _, r in rows.iterrows()}
    listed = []
    for _, setting in rows[rows["method"].isin(ADAPTIVE)].iterrows():
        key = tuple(setting[SETTING])
        if not np.isfinite(costs[key]):
            continue
        row: dict[str, object] = {"method": name_of(setting, table), "FLOPs (G)": costs[key] / 1e9}
        for column in QUALITY:
            row |= _equal_cost_cell(table, column, key, costs, common)
        listed.append(row)
    if not listed:
        return None
    raw = pd.DataFrame(listed)
    shown = raw[[c for c in raw.columns if "/" not in c]].copy()
    shown["FLOPs (G)"] = [f"{v:.2f}" for v in raw["FLOPs (G)"]]
    notes = [
        "Difference to the fine-tuned, plainly shallower VGGT at the same measured FLOPs (linear between its variants), "
        "95 % paired bootstrap over scenes: + better, - worse, = not told apart. All fine-tuned variants had the same steps "
        "on the same data.",
        *answers(raw),
    ]
    title = "Does adaptive depth beat a shallower model of the same cost?"
    return Table(f"equal_cost{e.suffix}", title, e.about, shown, raw, notes)


def _equal_cost_cell(
    table: pd.DataFrame,
    column: Column,
    key: tuple[str, ...],
    costs: dict[tuple[str, ...], float],
    common: pd.Index,
) -> dict[str, object]:
    """Shown and raw entries of one adaptive setting in one column."""
    values = wide(table, column)
    values = over_seeds(values[values.index.isin(common)])
    curve = control_curve(values, costs)
    if not curve or key not in values.columns:
        return {column.title: "–"}
    control, remark = at_cost(curve, costs[key])
    both = pd.concat([values[key], control], axis=1).dropna()
    if len(both) < 2:
        return {column.title: "–"}
    d = paired_bootstrap(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())
    sign = (
        "=" if not d.excludes_zero else "+" if (d.mean < 0) == (column.better == "lower") else "-"
    )
    base = f"{column.protocol}/{column.metric}"
    text = f"{sign} {d.mean:+.{column.digits}f} [{d.low:+.{column.digits}f}, {d.high:+.{column.digits}f}]"
    return {
        column.title: text,
        "cost": remark,
        f"{base}/delta": d.mean,
        f"{base}/low": d.low,
        f"{base}/high": d.high,
        f"{base}/verdict": sign,
    }


def answers(raw: pd.DataFrame) -> list[str]:
    """The question in words, one sentence per method."""
    out = []
    for _, row in raw.iterrows():
        verdicts = {
            c: row[c] for c in raw.columns if c.endswith("/verdict") and isinstance(row[c], str)
        }
        words = {"+": "better", "-": "worse", "=": "not told apart"}
        parts = [
            f"{words[w]} in {', '.join(c.split('/')[1] for c, v in verdicts.items() if v == w)}"
            for w in ("+", "-", "=")
            if w in verdicts.values()
        ]
        out.append(
            f"**{row['method']}** against a shallower VGGT of equal cost: {'; '.join(parts)}."
        )
    return out


def trainings(e: Evidence) -> Table | None:
    """How long each variant was trained."""
    if not len(e.trainings):
        return None
    rows = e.trainings
    whole = {
        k: [f"{v:.0f}" if pd.notna(v) else "–" for v in rows[k]]
        for k in ("steps", "scenes", "seconds", "seed")
    }
    names = [_short(m, o) for m, o in zip(rows["method"], rows["options"], strict=True)]
    shown = pd.DataFrame(
        {
            "method": names,
            "backbone": rows["backbone"],
            **whole,
            "device": rows["device"].fillna("–"),
            "ships with the project": ["yes" if s else "" for s in rows["shipped"]],
        }
    )
    notes = [
        "steps: optimiser steps (– for closed-form fits); scenes: training scenes seen; seconds: wall time, shared."
    ]
    return Table(
        f"training{e.suffix}",
        "How long each variant was trained",
        e.about,
        shown,
        e.trainings,
        notes,
    )


def _short(method: str, options: str) -> str:
    """A method with the options that differ from its defaults."""

    from bench3r.run.plan import options_text

    if method == "base":
        return method
    cls = METHODS.get(method)
    changed = cls.Options.model_validate(json.loads(options)).model_dump(
        mode="json", exclude_defaults=True
    )
    return f"{method} {options_text(changed)}".strip()


def tables(e: Evidence) -> list[Table]:
    """All of them that the run has something for."""
    shown_elsewhere = {"max_depth", "lite3r_factors", "spark3r_factors", "localisation"}
    names = [n for n in e.plan.run_config().ablations if n not in shown_elsewhere]
    found = [
        components(e),
        regions(e),
        maximum_depth(e),
        distribution(e),
        equal_cost(e),
        routing(e),
        savings(e),
        *(ablation(e, n) for n in names if len(e.rows_of(n))),
        trainings(e),
    ]
    return [t for t in found if t is not None]
