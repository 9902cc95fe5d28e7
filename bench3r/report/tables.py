"""Tables as Markdown, CSV and LaTeX with captions that say what the numbers stand on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench3r.api.method import METHODS
from bench3r.files import write_text
from bench3r.models.catalogue import label_of_network
from bench3r.report.reported import SPATIALMOR_SOURCE, SPATIALMOR_TABLE_2
from bench3r.report.summary import (
    SCENE,
    SETTING,
    Column,
    Difference,
    against_reference,
    common_scenes,
    counts,
    interval,
    over_seeds,
    ranks,
    reference_of,
    settings,
    tied_with,
    weights_of,
    wide,
)

QUALITY = (
    Column("CD ↓ (median depths)", "pi3_pointmap", "chamfer_norm", "median depths", "lower"),
    Column("F1 ↑ (1 % of diagonal)", "fscore", "fscore", "share", "higher"),
    Column("dMSE ↓ (median depths²)", "depth_median", "mse_norm", "median depths^2", "lower"),
    Column("camera ↓ (deg)", "relpose_pi3", "rot_deg", "deg", "lower", 1),
)
FIDELITY = (
    Column("depth ↓ (AbsRel)", "fidelity", "depth_absrel", "ratio", "lower", 4),
    Column("points ↓ (median depths)", "fidelity", "points", "median depths", "lower", 4),
    Column("rotation ↓ (deg)", "fidelity", "rot_deg", "deg", "lower", 2),
    Column("translation ↓ (deg)", "fidelity", "trans_deg", "deg", "lower", 2),
)
REGIONS = (
    Column("AbsRel simple ↓", "regions", "absrel_simple", "ratio", "lower"),
    Column("AbsRel complex ↓", "regions", "absrel_complex", "ratio", "lower"),
    Column("roughness simple ↓", "regions", "roughness_simple", "ratio", "lower"),
    Column("detail complex ↑", "regions", "detail_complex", "share", "higher"),
    Column("border error ↓", "regions", "border_error", "log depth", "lower"),
    Column("seam index (1 = none)", "recursion", "seam_index", "ratio", "lower", 2),
)
ROUTING = (
    Column("mean depth", "recursion", "mean_depth", "recursions", "", 2),
    Column("ρ(depth, geometry)", "recursion", "corr_geometry", "rank correlation", "", 2),
    Column("ρ(depth, texture)", "recursion", "corr_texture", "rank correlation", "", 2),
    Column("agreement of views", "recursion", "agreement", "share", "", 2),
    Column("agreement by chance", "recursion", "agreement_chance", "share", "", 2),
)
DETAIL = (
    Column("AbsRel ↓", "depth_median", "absrel", "ratio", "lower"),
    Column("δ<1.25 ↑", "depth_median", "delta1", "share", "higher"),
    Column("NC ↑", "pi3_pointmap", "nc_mean", "cosine", "higher"),
    Column("rotation ↓ (deg)", "relpose_pi3", "rot_deg", "deg", "lower", 1),
    Column("translation ↓ (deg)", "relpose_pi3", "trans_deg", "deg", "lower", 1),
    Column("AUC@30 ↑", "relpose_pi3", "auc30", "share", "higher"),
)


RAW = (
    "mean",
    "low",
    "high",
    "tied_with_best",
    "delta_vs_backbone",
    "delta_low",
    "delta_high",
    "effect_size",
)
TIED = "†"  # in the tie group of the best
SENTENCE, PAGE = 60, 45  # letters of a cell, rows: what still is a table on one page


@dataclass
class Table:
    """A table ready to be written: shown cells, raw values, caption, notes under it."""

    name: str
    title: str
    caption: str
    shown: pd.DataFrame
    raw: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Title, caption, table and notes."""
        notes = "".join(f"\n- {n}" for n in self.notes)
        return (
            f"## {self.title}\n\n{self.caption}\n\n{self.shown.to_markdown(index=False)}\n{notes}\n"
        )

    def latex(self) -> str:
        """A complete table; needs the packages booktabs, graphicx and longtable.

        Scaled to the width of the text when wider; tables of sentences, or longer than a page, break over pages instead.
        """
        body = self.shown.map(latex_text).rename(columns=latex_text)
        notes = "".join(f"\\par {latex_text(n)}\n" for n in self.notes)
        caption = f"\\caption{{{latex_text(self.title)}. {latex_text(self.caption)}}}"
        lengths = [
            max([len(str(v)) for v in self.shown[c]] + [len(str(c)) / 2])
            for c in self.shown.columns
        ]
        if max(lengths, default=0) <= SENTENCE and len(body) <= PAGE:
            rows = body.to_latex(
                index=False, escape=False, column_format="l" + "r" * (body.shape[1] - 1)
            )
            scaled = f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{rows}}}"
            return f"\\begin{{table}}\n{caption}\n\\small\n{scaled}\n\\footnotesize\n{notes}\\end{{table}}\n"
        weights = [min(max(n, 6), 60) for n in lengths]
        widths = [0.92 * w / sum(weights) for w in weights]
        shape = "".join(f"p{{{w:.3f}\\linewidth}}" for w in widths)
        head = " & ".join(body.columns) + " \\\\"
        lines = "\n".join(" & ".join(r) + " \\\\" for r in body.itertuples(index=False, name=None))
        return (
            f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{2pt}}\n\\begin{{longtable}}{{{shape}}}\n{caption}\\\\\n\\toprule\n{head}\n"
            f"\\midrule\n\\endhead\n{lines}\n\\bottomrule\n\\end{{longtable}}\n{notes}}}\n"
        )

    def write(self, folder: Path) -> None:
        """Write NAME.md, NAME.csv (raw values) and NAME.tex."""
        write_text(folder / f"{self.name}.md", self.markdown())
        write_text(folder / f"{self.name}.csv", self.raw.to_csv(index=False))
        write_text(folder / f"{self.name}.tex", self.latex())


_ESCAPED = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "²": "$^2$",
    "≈": r"$\approx$",
    "†": r"$\dagger$",
    "τ": r"$\tau$",
    "π": r"$\pi$",
    "³": "$^3$",
    "×": r"$\times$",
    "ρ": r"$\rho$",
    "Δ": r"$\Delta$",
    "δ": r"$\delta$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "`": "",
}


def latex_text(text: object) -> str:
    """Markdown text as LaTeX: bold, underlined second best, escaped characters."""
    escaped = "".join(_ESCAPED.get(c, c) for c in str(text))
    escaped = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)
    return re.sub(r"(?<!\w)\\_(\S[^_]*?)\\_(?!\w)", r"\\underline{\1}", escaped)


def name_of(setting: pd.Series, table: pd.DataFrame) -> str:
    """Label of a row. When a method has several: the option that varies, or of several those that are not the default."""
    same = table[
        (table["method"] == setting["method"]) & (table["backbone"] == setting["backbone"])
    ]["options"].unique()
    label = label_of(
        setting["method"],
        setting["label"],
        json.loads(setting["options"]),
        [json.loads(o) for o in same],
    )
    several = table[table["kind"] == "plugin"]["backbone"].nunique() > 1
    return (
        f"{label} on {label_of_network(setting['backbone'])}"
        if several and setting["kind"] == "plugin"
        else label
    )


def label_of(
    method: str, label: str, own: dict[str, object], everyone: list[dict[str, object]]
) -> str:
    """As :func:`name_of`, given the row's options and those of all rows of its method."""
    varied = [k for k in own if len({json.dumps(o.get(k)) for o in everyone}) > 1]
    if not varied:
        return str(label)
    if len(varied) > 1:
        defaults = METHODS.get(method).Options().model_dump(mode="json")
        varied = [k for k in varied if own[k] != defaults[k]]
    return (
        f"{label} ({', '.join(f'{k} {own[k]}' for k in varied)})"
        if varied
        else f"{label} (default)"
    )


def quality_cells(
    values: pd.DataFrame, column: Column, rows: pd.DataFrame, weights: pd.Series | None = None
) -> tuple[dict[tuple[str, ...], str], dict[tuple[str, ...], dict[str, float]]]:
    """Shown text and raw numbers of one quality column for every setting; ``weights`` of scenes in means, if any."""
    keys, values = [tuple(r) for r in rows[SETTING].to_numpy()], over_seeds(values)
    stats = {k: interval(values[k], weights) for k in keys if k in values.columns}
    contenders = {k: s.mean for k, s in stats.items() if s and k[2] != "control"}
    best, second = ranks(contenders, column.better)
    tied = tied_with(values, best, list(contenders), weights)
    shown: dict[tuple[str, ...], str] = {}
    raw: dict[tuple[str, ...], dict[str, float]] = {}
    for key in keys:
        s = stats.get(key)
        if s is None:
            shown[key], raw[key] = "–", {}
            continue
        text = f"{s.mean:.{column.digits}f}"
        text = f"**{text}**" if key == best else f"_{text}_" if key == second else text
        if np.isfinite(s.low):
            text += f" [{s.low:.{column.digits}f}, {s.high:.{column.digits}f}]"
        text += TIED if len(tied) > 1 and key in tied else ""
        raw[key] = {"mean": s.mean, "low": s.low, "high": s.high, "tied_with_best": key in tied}
        delta = against_reference(values, key, weights)
        if delta:
            d = delta.interval
            raw[key] |= {
                "delta_vs_backbone": d.mean,
                "delta_low": d.low,
                "delta_high": d.high,
                "effect_size": delta.effect,
            }
            text += " ≈" if not d.excludes_zero else ""
        shown[key] = text
    return shown, raw


def of_setting(rows: pd.DataFrame, setting: pd.Series) -> pd.DataFrame:
    """The rows of one setting (method, options, backbone)."""
    if not len(rows):
        return rows
    same = (rows["method"] == setting["method"]) & (rows["backbone"] == setting["backbone"])
    return rows[same & (rows["options"] == setting["options"])]


def flops_of(facts: pd.DataFrame, setting: pd.Series, common: pd.Index) -> float:
    """Mean FLOPs that a setting spent on the compared scenes, counted on each; NaN when it was not counted."""
    rows = of_setting(facts, setting)
    if not len(rows):
        return float("nan")
    rows = rows[rows.set_index(SCENE).index.isin(common)]
    return float(pd.to_numeric(rows["flops"]).mean())


def peak_bytes(row: pd.Series | dict[str, Any]) -> float:
    """Peak memory of a profile record: of tensors on the GPU, of the process on a CPU; NaN when it was not measured."""
    for name in ("peak_gpu_bytes", "peak_rss_bytes"):
        value = row.get(name)
        if value is not None and np.isfinite(value) and value > 0:
            return float(value)
    return float("nan")


def cost_cells(profiles: pd.DataFrame, setting: pd.Series, frames: int) -> dict[str, object]:
    """Median latency with its quartiles, FLOPs and parameters from the profile stage; empty for controls."""
    if not len(profiles):
        return {}
    rows = of_setting(profiles, setting)
    rows = rows[rows["frames"] == frames]
    if not len(rows):
        return {}
    row = rows.iloc[0]
    if row["status"] != "ok":
        return {"time_text": row["status"], "flops_text": row["status"]}
    q1, middle, q3 = np.quantile(row["seconds"], [0.25, 0.5, 0.75])
    mark = " (suspect)" if row["suspect"] else ""
    return {
        "time_s": middle,
        "time_q1_s": q1,
        "time_q3_s": q3,
        "flops": row["flops"],
        "parameters": row["parameters"],
        "peak_rss_bytes": row["peak_rss_bytes"],
        "time_text": f"{middle:.3g} [{q1:.3g}, {q3:.3g}]{mark}",
        "flops_text": f"{row['flops'] / 1e9:.2f}" if row["flops"] else "–",
    }


def cost_notes(profiles: pd.DataFrame, frames: int) -> list[str]:
    """On what input and device time and FLOPs were measured."""
    rows = (
        profiles[profiles["frames"].eq(frames) & profiles["status"].eq("ok")]
        if len(profiles)
        else profiles
    )
    if not len(rows):
        return ["Time and FLOPs were not measured at this number of frames."]
    sizes = sorted({f"{h} x {w}" for h, w in rows["image_size"]})
    return [
        f"Time and FLOPs: one forward pass on {frames} images of {' or '.join(sizes)} pixels, {rows.iloc[0]['device']}."
    ]


def comparison(
    table: pd.DataFrame,
    profiles: pd.DataFrame,
    columns: tuple[Column, ...],
    frames: int,
    with_cost: bool,
    name: str,
    title: str,
    caption: str,
    facts: pd.DataFrame | None = None,
) -> Table:
    """Methods against columns; means over the scenes that all compared methods finished, n/N beside them."""
    rows = settings(table)
    common = common_scenes(table)
    notes: list[str] = []
    shown = pd.DataFrame({"method": [name_of(r, table) for _, r in rows.iterrows()]})
    raw = rows.copy()
    for column in columns:
        values = wide(table, column)
        cells, numbers = quality_cells(
            values[values.index.isin(common)], column, rows, weights_of(table, column)
        )
        keys = [tuple(r) for r in rows[SETTING].to_numpy()]
        shown[column.title] = [cells[k] for k in keys]
        for part in RAW:
            raw[f"{column.protocol}/{column.metric}/{part}"] = [numbers[k].get(part) for k in keys]
    if with_cost:
        costs = [cost_cells(profiles, r, frames) for _, r in rows.iterrows()]
        notes = cost_notes(profiles, frames)
        spent = [
            flops_of(pd.DataFrame() if facts is None else facts, r, common)
            for _, r in rows.iterrows()
        ]
        unchanged = {
            r["method"]: f
            for f, (_, r) in zip(spent, rows.iterrows(), strict=True)
            if r["kind"] == "backbone"
        }
        dense = [unchanged.get(reference_of(b), np.nan) for b in rows["backbone"]]
        saved = [1 - f / d for f, d in zip(spent, dense, strict=True)]
        shown["Time (s)"] = [c.get("time_text", "–") for c in costs]
        shown["FLOPs (G)"] = [
            f"{f / 1e9:.2f}" if np.isfinite(f) else c.get("flops_text", "–")
            for f, c in zip(spent, costs, strict=True)
        ]
        shown["saved"] = [f"{s:.1%}" if np.isfinite(s) else "–" for s in saved]
        raw["flops_per_scene"], raw["flop_saving"] = spent, saved
        for part in ("time_s", "time_q1_s", "time_q3_s", "flops", "parameters", "peak_rss_bytes"):
            raw[part] = [c.get(part) for c in costs]
    tally = [counts(table, tuple(r)) for r in rows[SETTING].to_numpy()]
    shown["n/N"] = [f"{n}/{total}" for n, total in tally]
    raw["n"], raw["N"], raw["compared"] = [t[0] for t in tally], [t[1] for t in tally], len(common)
    return Table(name, title, caption, shown, raw, notes)


def differences(
    table: pd.DataFrame, columns: tuple[Column, ...], name: str, title: str, caption: str
) -> Table:
    """Paired differences to the unchanged backbone over the same scenes, with their 95 % intervals."""
    rows, common = settings(table), common_scenes(table)
    rows = rows[~rows["kind"].isin(["backbone", "control"])]
    shown = pd.DataFrame({"method": [name_of(r, table) for _, r in rows.iterrows()]})
    raw = rows.copy()
    for column in columns:
        values = wide(table, column)
        values = over_seeds(values[values.index.isin(common)])
        weights = weights_of(table, column)
        found = [against_reference(values, tuple(r), weights) for r in rows[SETTING].to_numpy()]
        shown[f"Δ {column.title}"] = [_difference_text(f, column.digits) for f in found]
        for part in ("mean", "low", "high"):
            name_of_part = f"{column.protocol}/{column.metric}/delta_{part}"
            raw[name_of_part] = [getattr(f.interval, part) if f else None for f in found]
        raw[f"{column.protocol}/{column.metric}/effect_size"] = [
            f.effect if f else None for f in found
        ]
    notes = [
        "Method minus its unchanged backbone, 95 % paired bootstrap over scenes; an interval with 0 is no difference. "
        "d: the difference over the standard deviation of the scenes' differences (Cohen's d_z, corrected for few "
        "scenes): how regular it is, not how large."
    ]
    return Table(name, title, caption, shown, raw, notes)


def _difference_text(found: Difference | None, digits: int) -> str:
    if found is None:
        return "–"
    d = found.interval
    text = f"{d.mean:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
    return f"{text}, d {found.effect:+.1f}" if np.isfinite(found.effect) else text


def add_reported(table: Table) -> Table:
    """SpatialMoR's own rows under ours, marked as reported."""
    rows = []
    names = {"CD": "CD", "F1": "F1", "dMSE": "dMSE", "Time": "Time", "FLOPs": "FLOPs"}
    measured = list(table.raw["method"])
    for method, values in SPATIALMOR_TABLE_2.items():
        if method not in measured:
            continue
        label = table.raw.loc[table.raw["method"] == method, "label"].iloc[0]
        row = {"method": f"{label}, reported by SpatialMoR"}
        for column in table.shown.columns[1:]:
            key = next((k for k in names if column.startswith(k)), None)
            row[column] = f"({values[key]:g})" if key else "–"
        rows.append(row)
    if rows:
        table.shown = pd.concat([table.shown, pd.DataFrame(rows)], ignore_index=True)
        table.notes.append(
            f"Values in (parentheses) are reported, not measured by us: {SPATIALMOR_SOURCE}. "
            "Their units and scale are unknown, so they cannot be compared with the rows above."
        )
    return table
