"""Training: losses of a shipped base, and of the fine-tuned variants with where depth went."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench3r.report.figures.drawing import save
from bench3r.report.figures.recursion import DEPTH_COLOURS

LOSSES = ("camera", "depth", "ray", "point", "normal", "track", "matching")
RECONSTRUCTION = ("camera", "depth", "point")
ROUTER = ("balance", "local_balance", "spatial")


def training_curve(curve: pd.DataFrame, folder: Path, title: str, name: str) -> Path:
    """Loss parts over steps, smoothed, on a log axis."""
    figure, axis = plt.subplots(figsize=(6, 3.5))
    for part in _known(curve, LOSSES):
        # confidence terms can make a part negative
        shifted = curve[part] - min(0, curve[part].min()) + 1e-3
        axis.plot(curve["step"], _smooth(shifted, len(curve) // 50), label=part)
    axis.set(yscale="log", xlabel="step", ylabel="loss part (moving mean)", title=title)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, name)


def finetuning(curves: dict[str, pd.DataFrame], folder: Path) -> Path | None:
    """Fine-tuning of each variant: total loss, and mean recursion depth where it changes."""
    if not curves:
        return None
    figure, (losses, depths) = plt.subplots(1, 2, figsize=(9, 3.4))
    for name, curve in curves.items():
        losses.plot(curve["step"], _smooth(curve["total"], len(curve) // 10), label=name)
        if "mean_depth" in curve:
            depths.plot(curve["step"], curve["mean_depth"], label=name)
    losses.set(xlabel="step", ylabel="total loss (moving mean)")
    depths.set(xlabel="step", ylabel="mean recursion depth")
    losses.legend(fontsize=6)
    figure.tight_layout()
    return save(figure, folder, "finetuning")


def finetuning_shares(curve: pd.DataFrame, name: str, folder: Path) -> Path | None:
    """Loss parts and the share of patches per recursion depth while one variant is fine-tuned."""
    shares = sorted(curve.filter(regex="^share_"))
    if not shares:
        return None
    figure, (losses, router, depths) = plt.subplots(1, 3, figsize=(12, 3.2))
    _parts(losses, curve, RECONSTRUCTION)
    losses.set(xlabel="step", ylabel="reconstruction losses (moving mean)", title=name)
    _parts(router, curve, ROUTER)
    router.set(xlabel="step", ylabel="router losses, weighted")
    depths.stackplot(
        curve["step"],
        curve[shares].fillna(0).T,
        labels=[f"depth {s.removeprefix('share_')}" for s in shares],
        colors=sns.color_palette(DEPTH_COLOURS, len(shares)),
    )
    depths.set(xlabel="step", ylabel="share of patches", ylim=(0, 1))
    depths.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return save(figure, folder, "finetuning_depth")


def _parts(axis: Axes, curve: pd.DataFrame, names: tuple[str, ...]) -> None:
    for part in _known(curve, names):
        axis.plot(curve["step"], _smooth(curve[part], len(curve) // 20), label=part)
    axis.legend(fontsize=7)


def _known(curve: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    return [n for n in names if n in curve and curve[n].notna().any()]


def _smooth(values: pd.Series, window: int) -> pd.Series:
    return values.rolling(max(1, window), min_periods=1).mean()
