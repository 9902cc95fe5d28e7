"""How much the protocol alone moves a number: the same predictions of the same scenes under every rule that applies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from bench3r.report.adaptive import Evidence
from bench3r.report.figures import looks_of, save
from bench3r.report.summary import (
    SETTING,
    Column,
    common_scenes,
    interval,
    over_seeds,
    ranks,
    settings,
    weights_of,
    wide,
)
from bench3r.report.tables import Table, name_of


@dataclass(frozen=True)
class Family:
    """One quantity and the rules that different papers measure it by."""

    name: str
    title: str
    better: str
    unit: str
    variants: tuple[tuple[str, str, str], ...]  # protocol, metric, how it is called here
    differ: str  # what the rules do differently


FAMILIES = (
    Family(
        "depth",
        "Depth error (AbsRel)",
        "lower",
        "ratio",
        (
            ("depth_median", "absrel", "median scale per scene"),
            ("depth_video", "scale_absrel", "robust scale, CUT3R"),
            ("depth_video", "scaleshift_absrel", "scale and shift, CUT3R"),
            ("lite3r", "absrel", "Lite3R"),
        ),
        "All fit one scale per scene (and a shift where said): the median of ratios, reweighted steps towards least "
        "absolute error, or least squares (Lite3R), which far pixels decide.",
    ),
    Family(
        "pose",
        "Camera pose (AUC@30)",
        "higher",
        "share",
        (
            ("relpose_pi3", "auc30", "Pi3"),
            ("relpose_vggt", "auc30", "VGGT"),
            ("relpose_da3", "auc30", "Depth-Anything-3"),
        ),
        "Pi3 and VGGT see a pair's translation from different cameras; Depth-Anything-3 rebases on camera 0, whose error "
        "then enters every pair.",
    ),
    Family(
        "trajectory",
        "Trajectory error (ATE)",
        "lower",
        "the dataset's unit",
        (
            ("trajectory_evo", "ate", "evo, Sim(3)"),
            ("scannet50_sim3", "ate", "ScanNet-50, Sim(3)"),
            ("scannet50_fastvggt", "ate", "ScanNet-50, FastVGGT"),
        ),
        "FastVGGT's script takes world-to-camera matrices for poses and aligns the first pose alone.",
    ),
    Family(
        "points",
        "Chamfer distance",
        "lower",
        "the dataset's unit",
        (
            ("pi3_pointmap", "chamfer", "Pi3"),
            ("cut3r_pointmap", "chamfer", "CUT3R"),
            ("dtu_mvsnet", "overall", "MVSNet on DTU"),
            ("scannet50_sim3", "chamfer", "ScanNet-50, Sim(3)"),
            ("scannet50_fastvggt", "chamfer_sum", "ScanNet-50, FastVGGT"),
        ),
        "Pi3, MVSNet and Sim(3) align by a similarity over pixels and ICP, CUT3R by a scale in the first camera and ICP, "
        "FastVGGT by bounding boxes; FastVGGT adds accuracy and completeness, the others halve the sum.",
    ),
    Family(
        "fscore",
        "F-score",
        "higher",
        "share",
        (
            ("fscore", "fscore", "1 % of the diagonal"),
            ("scannet50_sim3", "fscore_5cm", "5 cm"),
            ("lite3r", "fscore_005", "Lite3R, 0.05 normalised"),
        ),
        "Lite3R aligns nothing: points count as predicted, at 0.05 of max(median depth, largest translation), so a "
        "reconstruction of free scale (DUSt3R's and MASt3R's global alignment) is far off. The others align by a similarity "
        "and ICP first.",
    ),
)


@dataclass
class Measured:
    """Mean of every method (rows, labels) under every variant (columns) of a family on one dataset."""

    family: Family
    dataset: str
    means: pd.DataFrame
    scenes: int

    def moved(self) -> pd.Series:
        """Largest over smallest value of every method under all rules."""
        return self.means.max(axis=1) / self.means.min(axis=1).where(lambda low: low > 0)

    def agreement(self) -> float:
        """Lowest Kendall's tau between the rankings by any two rules."""
        found = [
            kendalltau(self.means[a], self.means[b]).statistic
            for a, b in combinations(self.means, 2)
        ]
        return float(np.min(found)) if np.isfinite(found).all() else float("nan")

    def best(self) -> dict[str, list[str]]:
        """Best method -> rules under which it is the best."""
        out: dict[str, list[str]] = {}
        for variant in self.means:
            first = ranks({(k,): v for k, v in self.means[variant].items()}, self.family.better)[0]
            out.setdefault(first[0] if first else "none", []).append(str(variant))
        return out


def measured(e: Evidence) -> list[Measured]:
    """Every family on every dataset where at least two rules and two methods have values; controls are left out."""
    rows, out = e.rows_of("main"), []
    rows = rows[~rows["kind"].eq("control")]
    for dataset, own in rows.groupby("dataset", sort=False):
        common, labels = (
            common_scenes(own),
            {tuple(r[SETTING]): name_of(r, rows) for _, r in settings(own).iterrows()},
        )
        for family in FAMILIES:
            means: dict[str, dict[str, float]] = {}
            for protocol, metric, called in family.variants:
                column = Column(called, protocol, metric, family.unit, family.better)
                values = wide(own, column)
                if not len(values):
                    continue
                values, weights = (
                    over_seeds(values[values.index.isin(common)]),
                    weights_of(own, column),
                )
                found = {labels[k]: interval(values[k], weights) for k in values.columns}
                known = {k: s.mean for k, s in found.items() if s}
                means |= {called: known} if known else {}
            table = pd.DataFrame(means).dropna()
            if table.shape[1] > 1 and len(table) > 1:
                out.append(
                    Measured(
                        family,
                        str(dataset),
                        table.loc[[n for n in labels.values() if n in table.index]],
                        len(common),
                    )
                )
    return out


def tables(e: Evidence) -> list[Table]:
    """The summary, then every family with all its rules."""
    found = measured(e)
    if not found:
        return []
    raw, shown = [], []
    for m in found:
        moved, best = m.moved(), m.best()
        raw.append(
            {
                "dataset": m.dataset,
                "quantity": m.family.name,
                "rules": m.means.shape[1],
                "scenes": m.scenes,
                "moved_median": moved.median(),
                "moved_largest": moved.max(),
                "lowest_tau": m.agreement(),
                "best_methods": len(best),
            }
        )
        named = "; ".join(f"{k} ({', '.join(v)})" if len(best) > 1 else k for k, v in best.items())
        shown.append(
            {
                "dataset": m.dataset,
                "quantity": m.family.title,
                "rules": m.means.shape[1],
                "scenes": m.scenes,
                "moves by (median; most)": f"{moved.median():.2f} x; {moved.max():.2f} x",
                "least agreement (τ)": f"{m.agreement():.2f}",
                "best method": named,
            }
        )
    summary = Table(
        f"protocols{e.suffix}",
        "What the protocol alone changes",
        e.about,
        pd.DataFrame(shown),
        pd.DataFrame(raw),
        [
            "The same predictions, scored by the rules of different papers. Moves by: largest over smallest value of a method. "
            "Agreement: Kendall's τ between the rankings of all methods by two rules, 1 = the same order; the lowest of any.",
            "A number without its protocol can be off by these factors; compare only what was scored by one rule.",
        ],
    )
    return [summary, *(_family(e, m) for m in found)]


def _family(e: Evidence, m: Measured) -> Table:
    best = {v: ranks({(k,): x for k, x in m.means[v].items()}, m.family.better)[0] for v in m.means}
    shown = pd.DataFrame({"method": m.means.index})
    for variant in m.means:
        texts = [f"{x:.4g}" for x in m.means[variant]]
        marked = [
            f"**{t}**" if best[variant] == (k,) else t
            for k, t in zip(m.means.index, texts, strict=True)
        ]
        shown[variant] = marked
    raw = m.means.rename_axis("method").reset_index()
    title = f"{m.family.title} on {m.dataset} under {m.means.shape[1]} protocols ({m.family.unit}, {m.family.better} is better)"
    return Table(
        f"protocols_{m.family.name}_{m.dataset}{e.suffix}",
        title,
        e.about,
        shown,
        raw,
        [f"Means over {m.scenes} scenes that every method finished.", m.family.differ],
    )


def figure(e: Evidence, folder: Path) -> Path | None:
    """One panel per quantity: every method a line over the rules, on the dataset that most rules apply to."""
    chosen: dict[str, Measured] = {}
    for m in measured(e):
        if m.family.name not in chosen or m.means.shape[1] > chosen[m.family.name].means.shape[1]:
            chosen[m.family.name] = m
    if not chosen:
        return None
    drawing, axes = plt.subplots(1, len(chosen), figsize=(3.8 * len(chosen), 3.6), squeeze=False)
    looks = looks_of(list(dict.fromkeys(str(k) for m in chosen.values() for k in m.means.index)))
    for axis, m in zip(axes[0], chosen.values(), strict=True):
        for name, values in m.means.iterrows():
            colour, marker = looks[str(name)]
            axis.plot(
                range(len(values)),
                values,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=1,
                label=name,
            )
        axis.set_xticks(
            range(m.means.shape[1]), m.means.columns, rotation=30, ha="right", fontsize=7
        )
        axis.set(
            title=f"{m.family.title}\n{m.dataset}, {m.family.better} is better",
            ylabel=m.family.unit,
        )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, -1].legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    drawing.tight_layout()
    return save(drawing, folder, "protocol_sensitivity")
