"""Tables and figures of attention and precision: Spark3R's, Lite3R's and VGG-T³'s, from comparisons that a run names.

``lite3r_factors``, ``spark3r_factors`` and ``localisation`` are the names of ablations in a configuration that get a
table of their own form here; every other ablation is shown in the common form.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from bench3r.models.catalogue import label_of_network
from bench3r.report.adaptive import Evidence, ablation
from bench3r.report.figures import save
from bench3r.report.summary import SETTING, Column, common_scenes, settings, wide
from bench3r.report.tables import QUALITY, Table, comparison, name_of, of_setting, peak_bytes

LITE3R = (
    Column("AbsRel ↓", "lite3r", "absrel", "ratio", "lower"),
    Column("δ<1.25 ↑", "lite3r", "delta1", "share", "higher"),
    Column("rotation ↓ (deg)", "lite3r", "rot_deg", "deg", "lower", 2),
    Column("translation ↓", "lite3r", "trans", "normalised units", "lower"),
    Column("CD² ↓", "lite3r", "chamfer_sq", "normalised units^2", "lower"),
    Column("F@.05 ↑", "lite3r", "fscore_005", "share", "higher"),
)
LOCALISED = (
    Column("rotation ↓ (deg)", "localisation", "rot_deg", "deg", "lower", 1),
    Column("translation ↓ (deg)", "localisation", "trans_deg", "deg", "lower", 1),
    Column("within 15° ↑", "localisation", "within_15", "share", "higher"),
)
SENSITIVE = 1.05  # Spark3R: a layer whose error ratio exceeds this is sensitive


def storage_columns(e: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    """Megabytes of stored weights per setting, and how many times smaller than in fp32 and in bf16."""
    found = []
    for _, setting in rows.iterrows():
        own = of_setting(e.profiles, setting)
        own = own[own["frames"].eq(e.frames) & own["status"].eq("ok")] if len(own) else own
        if not len(own) or not own.iloc[0]["weight_bytes"]:
            found.append({"weight_bytes": np.nan, "parameters": np.nan, "peak_rss_bytes": np.nan})
        else:
            found.append(
                {k: float(own.iloc[0][k]) for k in ("weight_bytes", "parameters", "peak_rss_bytes")}
            )
    return pd.DataFrame(found)


def lite3r_factors(e: Evidence, dataset: str) -> Table:
    """Every factor of Lite3R with a row of its own, under its own protocol."""
    rows = e.rows_of("lite3r_factors")
    rows = rows[rows["dataset"] == dataset]
    depth = rows[rows["metric"].eq("absrel") & rows["protocol"].eq("lite3r")]["value"].notna().any()
    columns = LITE3R if depth else LITE3R[2:4]
    table = comparison(
        rows,
        e.profiles,
        columns,
        e.frames,
        True,
        f"lite3r_{dataset}{e.suffix}",
        f"Lite3R factor by factor, {dataset}",
        e.about,
        e.facts,
    )
    stored = storage_columns(e, settings(rows))
    table.raw = pd.concat([table.raw.reset_index(drop=True), stored.add_prefix("stored/")], axis=1)
    table.shown["weights (MB)"] = [
        f"{b / 1e6:.2f}" if b > 0 else "–" for b in stored["weight_bytes"]
    ]
    for name, size in (("fp32", 4), ("bf16", 2)):
        ratio = size * stored["parameters"] / stored["weight_bytes"]
        table.shown[f"× smaller than {name}"] = [
            f"{r:.2f}" if np.isfinite(r) else "–" for r in ratio
        ]
    table.notes += [
        "Truth in units of max(median depth, largest translation); points are compared as predicted, squared distances; "
        "rotation and translation leave the reference view out, so they are twice what Lite3R prints for two views.",
        "weights: as stored by the variant. Lite3R's baseline stores fp32 and runs under bf16 autocast; stored in bf16 it "
        "would be half as large without any method. On hardware without FP8 products the FP8 rows are emulated: their "
        "memory is real, their time is not that of FP8 hardware. Linear layers change; all else stays fp32.",
    ]
    return table


def layer_errors(e: Evidence, method: str) -> pd.DataFrame:
    """What trainings of ``method`` recorded per layer: one row per training and layer."""
    rows = e.trainings
    known = rows[rows["method"].eq(method) & rows["layers"].notna()] if len(rows) else rows
    listed = [
        {
            "backbone": r["backbone"],
            "options": r["options"],
            "layer": name,
            "order": i,
            "value": value,
        }
        for _, r in known.iterrows()
        for i, (name, value) in enumerate(r["layers"].items())
    ]
    return pd.DataFrame(listed)


def distillation(e: Evidence) -> Table | None:
    """Distillation error of every attention that Lite3R and VGG-T³ changed, at the end of their training."""
    parts = [layer_errors(e, m).assign(method=m) for m in ("lite3r", "vgg_t3")]
    raw = pd.concat([p for p in parts if len(p)]) if any(map(len, parts)) else pd.DataFrame()
    if not len(raw):
        return None
    raw["variant"] = [json.loads(o).get("variant", "") for o in raw["options"]]
    columns = ["method", "backbone", "variant"]
    shown = raw.pivot_table(index="layer", columns=columns, values="value", sort=False)
    shown.columns = [" ".join(filter(None, c)) for c in shown.columns]
    text = shown.map(lambda v: f"{v:.3g}" if np.isfinite(v) else "–").reset_index()
    notes = [
        "Mean squared difference of the attention output to the dense model's over the mean square of the latter, "
        "on the last training batch."
    ]
    return Table(
        f"distillation{e.suffix}", "Distillation error per layer", e.about, text, raw, notes
    )


def localisation(e: Evidence) -> Table:
    """Poses of views that were only looked up in a frozen memory, against truth and against the joint reconstruction."""
    rows = e.rows_of("localisation")
    table = comparison(
        rows,
        e.profiles,
        LOCALISED,
        e.frames,
        False,
        f"localisation{e.suffix}",
        "Visual localisation: views that were not mapped",
        e.about,
    )
    found: dict[str, list[float]] = {"joint_rotation_deg": [], "joint_translation_deg": []}
    for _, setting in settings(rows).iterrows():
        own = of_setting(e.facts, setting)
        for name, values in found.items():
            values.append(pd.to_numeric(own[name]).mean() if len(own) and name in own else np.nan)
    for name, title in (
        ("joint_rotation_deg", "rotation"),
        ("joint_translation_deg", "translation"),
    ):
        table.raw[name] = found[name]
        table.shown[f"{title} to joint (deg)"] = [
            f"{v:.1f}" if np.isfinite(v) else "–" for v in found[name]
        ]
    table.notes.append(
        "Errors of pairs of a mapped and a held-out view. Methods without a memory see all views together; their held-out "
        "view is the last. to joint: distance from where the same model puts the view when it sees all of them."
    )
    return table


def frames_table(evidence: list[Evidence]) -> Table | None:
    """Spark3R and its backbones over frame counts: time, memory, FLOPs, quality."""
    listed = []
    for e in evidence:
        rows = e.table[
            e.table["method"].isin(
                ["spark3r", *e.table.loc[e.table["kind"].eq("backbone"), "method"]]
            )
        ]
        rows = rows[rows["kind"].isin(["backbone", "plugin"])]
        common = common_scenes(rows) if len(rows) else pd.Index([])
        for _, setting in settings(rows).iterrows():
            own = of_setting(e.profiles, setting)
            own = own[own["frames"].eq(e.frames) & own["status"].eq("ok")] if len(own) else own
            row = {
                "method": name_of(setting, rows),
                "frames": e.frames,
                **{k: setting[k] for k in SETTING if k != "method"},
            }
            if len(own):
                first = own.iloc[0]
                row |= {
                    "time_s": float(np.median(first["seconds"])),
                    "peak_bytes": peak_bytes(first),
                    "flops": first["flops"],
                }
            for column in QUALITY:
                values = wide(rows, column)
                key = tuple(setting[SETTING])
                if key in values.columns:
                    row[column.title] = float(values[key][values.index.isin(common)].mean())
            listed.append(row)
    raw = pd.DataFrame(listed)
    if len(evidence) < 2 or not len(raw):
        return None
    shown = raw[["method", "frames"]].copy()
    for source, title, scale, digits in (
        ("time_s", "Time (s)", 1, 3),
        ("peak_bytes", "peak memory (GB)", 1e9, 3),
        ("flops", "FLOPs (G)", 1e9, 4),
    ):
        shown[title] = [
            f"{v / scale:.{digits}g}" if np.isfinite(v) else "–" for v in pd.to_numeric(raw[source])
        ]
    for column in QUALITY:
        shown[column.title] = [
            f"{v:.{column.digits}f}" if np.isfinite(v) else "–" for v in raw[column.title]
        ]
    notes = ["Means over the scenes that all rows of the same frame count finished."]
    return Table(
        "spark3r_frames", "Spark3R over frame counts", evidence[0].about, shown, raw, notes
    )


def tables(e: Evidence) -> list[Table]:
    """All that the run has something for."""
    names = e.plan.run_config().ablations
    out: list[Table | None] = []
    if "lite3r_factors" in names:
        datasets = e.rows_of("lite3r_factors")["dataset"].unique()
        out += [lite3r_factors(e, d) for d in datasets]
    if "spark3r_factors" in names and len(e.rows_of("spark3r_factors")):
        out.append(ablation(e, "spark3r_factors"))
    if "localisation" in names and len(e.rows_of("localisation")):
        out.append(localisation(e))
    out.append(distillation(e))
    return [t for t in out if t is not None]


def factor_maps(e: Evidence, folder: Path) -> Path | None:
    """Heat map over query factor and key/value factor of the change in quality against dense attention."""
    if "spark3r_factors" not in e.plan.run_config().ablations:
        return None
    rows = e.rows_of("spark3r_factors")
    column = QUALITY[0]
    values = wide(rows, column)
    values = values[values.index.isin(common_scenes(rows))].dropna(axis="columns", how="all")
    cells = []
    for key in values.columns:
        options = json.loads(key[SETTING.index("options")])
        if key[0] == "spark3r" and options["query_factor"] and options["kv_factor"]:
            cells.append(
                {
                    "query factor": options["query_factor"],
                    "key / value factor": options["kv_factor"],
                    "value": values[key].mean(),
                }
            )
    if len(cells) < 2:
        return None
    grid = pd.DataFrame(cells).pivot_table(
        index="query factor", columns="key / value factor", values="value"
    )
    figure, axis = plt.subplots(figsize=(1.1 * grid.shape[1] + 2, 0.8 * grid.shape[0] + 1.2))
    sns.heatmap(
        grid, annot=True, fmt=".3f", cmap="cividis_r", ax=axis, cbar_kws={"label": column.title}
    )
    axis.invert_yaxis()
    return save(figure, folder, "spark3r_factors")


def sensitivity(e: Evidence, folder: Path) -> Path | None:
    """Spark3R's probe: how much each global layer's factor costs, per backbone."""
    rows = layer_errors(e, "spark3r")
    if not len(rows):
        return None
    rows = rows.drop_duplicates(["backbone", "layer"])
    backbones = list(rows["backbone"].unique())
    figure, axes = plt.subplots(
        1, len(backbones), figsize=(3.2 * len(backbones) + 0.6, 2.8), sharey=True, squeeze=False
    )
    for axis, backbone in zip(axes[0], backbones, strict=True):
        own = rows[rows["backbone"] == backbone]
        colours = ["#d55e00" if v > SENSITIVE else "#0072b2" for v in own["value"]]
        axis.bar(own["order"], own["value"], color=colours)
        axis.axhline(SENSITIVE, color="black", linewidth=0.8, linestyle="--")
        axis.set(title=label_of_network(backbone), xlabel="global layer", xticks=list(own["order"]))
    axes[0][0].set(ylabel="error when raised / before")
    return save(figure, folder, "spark3r_sensitivity")
