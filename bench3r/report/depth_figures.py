"""Figures of adaptive depth: distribution, maps over images, correlation with complexity, training."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from bench3r.api.scene import SceneData
from bench3r.metrics.patches import plane_residual, spread_patches
from bench3r.report.figures import save
from bench3r.report.summary import settings
from bench3r.report.tables import name_of, of_setting

DEPTH_COLOURS = "cividis"  # ordered, and readable in print and for colour-blind readers


def depth_shares(facts: pd.DataFrame) -> np.ndarray:
    """Share of patches at depth 1, 2, ... over all rows of ``facts``."""
    counts = np.sum([np.asarray(h[1:]) for h in facts["depth_histogram"]], axis=0)
    return counts / max(1, counts.sum())


def depth_distribution(facts: pd.DataFrame, table: pd.DataFrame, folder: Path) -> Path | None:
    """Stacked bars: share of patches per recursion depth, per setting and scene type."""
    known = facts[facts["depth_histogram"].notna()] if len(facts) else facts
    if not len(known):
        return None
    rows = settings(table)
    bars = []
    for _, setting in rows.iterrows():
        own = of_setting(known, setting)
        for kind, part in own.groupby("scene_type", sort=False):
            bars.append((f"{name_of(setting, table)}\n{kind}", depth_shares(part)))
    deepest = max(len(s) for _, s in bars)
    colours = sns.color_palette(DEPTH_COLOURS, deepest)
    figure, axis = plt.subplots(figsize=(7, 0.42 * len(bars) + 1.2))
    left = np.zeros(len(bars))
    for depth in range(deepest):
        share = np.array([s[depth] if depth < len(s) else 0 for _, s in bars])
        axis.barh(
            range(len(bars)),
            share,
            left=left,
            color=colours[depth],
            label=f"depth {depth + 1}",
            height=0.8,
        )
        left += share
    axis.set_yticks(range(len(bars)), [n for n, _ in bars], fontsize=7)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="share of patches")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, "depth_distribution")


def depth_maps(
    scene: SceneData, depths: dict[str, np.ndarray], patch: int, folder: Path, name: str
) -> Path:
    """Recursion depth drawn over the images, beside the patches' true geometric complexity."""
    if scene.depth is None:
        raise ValueError("the complexity needs true depth")
    views = range(min(4, len(scene.images)))
    complexity = plane_residual(scene.depth.astype(np.float64), patch)
    size = scene.depth.shape[1:]
    rows = ["image", "complexity", *depths]
    figure, axes = plt.subplots(
        len(rows), len(views), figsize=(2 * len(views) + 2, 1.5 * len(rows)), squeeze=False
    )
    deepest = max(2, *(int(d.max()) for d in depths.values()))
    for column in views:
        axes[0, column].imshow(scene.images[column])
        log = np.log10(np.clip(complexity[column : column + 1], 1e-3, None))
        axes[1, column].imshow(spread_patches(log, patch, size)[0], cmap="magma", vmin=-3, vmax=0)
        for row, depth in enumerate(depths.values(), start=2):
            axes[row, column].imshow(scene.images[column].mean(-1), cmap="gray")
            spread = spread_patches(depth[column : column + 1].astype(float), patch, size)[0]
            shown = axes[row, column].imshow(
                spread, cmap=DEPTH_COLOURS, vmin=1, vmax=deepest, alpha=0.6
            )
        for row, label in enumerate(rows):
            axes[row, column].set(xticks=[], yticks=[])
            if column == 0:
                axes[row, column].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    figure.colorbar(
        shown, ax=axes[2:], ticks=range(1, deepest + 1), label="recursion depth", fraction=0.03
    )
    figure.suptitle(
        f"{scene.name}: complexity is the log distance of the true surface from a plane",
        y=0.98,
        fontsize=9,
    )
    return save(figure, folder, name)


def correlation(table: pd.DataFrame, folder: Path) -> Path | None:
    """Rank correlation of recursion depth with complexity: every scene a dot, per setting."""
    rows = table[
        (table["protocol"] == "recursion") & table["metric"].isin(["corr_geometry", "corr_texture"])
    ]
    rows = rows.dropna(subset="value")
    if not len(rows):
        return None
    names = {tuple(r): name_of(r, rows) for _, r in settings(rows).iterrows()}
    keys = rows[["method", "label", "kind", "options", "backbone"]].itertuples(
        index=False, name=None
    )
    rows = rows.assign(
        setting=[names[k] for k in keys], against=rows["metric"].str.removeprefix("corr_")
    )
    figure, axis = plt.subplots(figsize=(7, 0.45 * rows["setting"].nunique() + 1.2))
    sns.stripplot(
        rows, x="value", y="setting", hue="against", dodge=True, size=4, alpha=0.8, ax=axis
    )
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(
        xlim=(-1, 1),
        xlabel="rank correlation of recursion depth with the patch's true complexity",
        ylabel="",
    )
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, "depth_complexity")


def finetuning(curves: dict[str, pd.DataFrame], folder: Path) -> Path | None:
    """Fine-tuning of each variant: total loss, mean depth, and the share of patches per depth where it changes."""
    if not curves:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for name, curve in curves.items():
        window = max(1, len(curve) // 10)
        axes[0].plot(
            curve["step"], curve["total"].rolling(window, min_periods=1).mean(), label=name
        )
        if "mean_depth" in curve:
            axes[1].plot(curve["step"], curve["mean_depth"], label=name)
    axes[0].set(xlabel="step", ylabel="total loss (moving mean)")
    axes[1].set(xlabel="step", ylabel="mean recursion depth")
    axes[0].legend(fontsize=6)
    figure.tight_layout()
    return save(figure, folder, "finetuning")


def finetuning_shares(curve: pd.DataFrame, name: str, folder: Path) -> Path | None:
    """Loss parts and the share of patches per depth while one variant is fine-tuned."""
    shares = sorted(c for c in curve.columns if c.startswith("share_"))
    if not shares:
        return None
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2))
    window = max(1, len(curve) // 20)
    for axis, parts in zip(
        axes, (("camera", "depth", "point"), ("balance", "local_balance", "spatial")), strict=False
    ):
        for part in (p for p in parts if p in curve and curve[p].notna().any()):
            axis.plot(curve["step"], curve[part].rolling(window, min_periods=1).mean(), label=part)
        axis.legend(fontsize=7)
    axes[0].set(xlabel="step", ylabel="reconstruction losses (moving mean)", title=name)
    axes[1].set(xlabel="step", ylabel="router losses, weighted")
    axes[2].stackplot(
        curve["step"],
        curve[shares].fillna(0).T,
        labels=[f"depth {s[6:]}" for s in shares],
        colors=sns.color_palette(DEPTH_COLOURS, len(shares)),
    )
    axes[2].set(xlabel="step", ylabel="share of patches", ylim=(0, 1))
    axes[2].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return save(figure, folder, "finetuning_depth")
