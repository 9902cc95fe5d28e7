"""Training: losses of a shipped base, and of the fine-tuned variants with where depth went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench3r.report.figures.drawing import (
    BLACK,
    GREY,
    ONE_COLUMN,
    SMALL,
    TWO_COLUMNS,
    Colour,
    log_ticks,
    panels,
    save,
    wrapped,
)
from bench3r.report.figures.labels import Label, label_ends
from bench3r.report.figures.recursion import DEPTH_COLOURS

PARTS: dict[str, Colour] = {  # of the loss, each in one colour in all figures
    "camera": "#0072b2",
    "depth": "#d55e00",
    "ray": "#e69f00",
    "point": "#009e73",
    "normal": "#56b4e9",
    "track": "#cc79a7",
    "matching": "#7a2c00",
    "distillation": "#5a5a5a",
    "balance": "#0072b2",
    "local_balance": "#56b4e9",
    "spatial": "#d55e00",
}
LOSSES = ("camera", "depth", "ray", "point", "normal", "track", "matching", "distillation")
RECONSTRUCTION = ("camera", "depth", "point")
ROUTER = ("balance", "local_balance", "spatial")
ACROSS = 4  # panels of variants
WINDOW = 20  # of a curve's length, one part is averaged
SEEN = 0.005  # share of patches from which on it has a label
FLOOR = 1e-3  # smallest loss of a logarithmic axis


def training_curve(curve: pd.DataFrame, folder: Path, name: str) -> Path:
    """Loss parts over all steps of a training, as a moving mean.

    On a logarithmic axis; confidence makes some parts negative, which leaves gaps there.
    """
    figure, (axis,) = panels(1, 1, ONE_COLUMN, 2.3)
    _parts(axis, curve, LOSSES)
    axis.set(xlabel="step", ylabel="loss part, moving mean", xlim=(0, curve["step"].max()))
    axis.set_yscale("log")
    axis.set_ylim(bottom=max(FLOOR, axis.get_ylim()[0]))
    log_ticks(axis.yaxis)
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    label_ends({axis: _end_labels(curve, LOSSES)})
    return save(figure, folder, name)


def finetuning(curves: dict[str, pd.DataFrame], folder: Path) -> Path | None:
    """Fine-tuning of each variant on its own steps: every total loss, and the moving mean."""
    if not curves:
        return None
    across = min(ACROSS, len(curves))
    rows = -(-len(curves) // across)
    width = ONE_COLUMN if across == 1 else TWO_COLUMNS
    figure, axes = panels(rows, across, width, 1.35 * rows + 0.25)
    for axis, (name, curve) in zip(axes, curves.items(), strict=False):
        axis.plot(curve["step"], curve["total"], color=GREY, linewidth=0.5, alpha=0.7)
        axis.plot(curve["step"], _smooth(curve["total"]), color="#0072b2")
        axis.set_title(wrapped(name, 24), pad=3)
        axis.set_xlim(0, curve["step"].max())
        axis.set_ylim(bottom=min(0, curve["total"].min()))
        axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(4))
    for axis in axes[len(curves) :]:
        axis.remove()
    figure.supxlabel("step", fontsize=SMALL + 1)
    figure.supylabel("total loss", fontsize=SMALL + 1)
    return save(figure, folder, "finetuning")


def finetuning_shares(curve: pd.DataFrame, folder: Path) -> Path | None:
    """Loss parts and the share of patches per recursion depth while a variant is fine-tuned."""
    shares = sorted(curve.filter(regex="^share_"))
    if not shares:
        return None
    figure, (losses, router, depths) = panels(1, 3, TWO_COLUMNS, 2.1)
    _parts(losses, curve, RECONSTRUCTION)
    losses.set(ylabel="losses, moving mean")
    _parts(router, curve, ROUTER)
    router.set(ylabel="router losses, weighted")
    colours = sns.color_palette(DEPTH_COLOURS, len(shares))
    values = curve[shares].fillna(0).to_numpy().T
    depths.stackplot(curve["step"], values, colors=colours, linewidth=0)
    depths.set(ylabel="share of patches", ylim=(0, 1))
    depths.grid(visible=False)
    for axis in (losses, router, depths):
        axis.set(xlabel="step", xlim=(0, curve["step"].max()))
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    label_ends(
        {
            losses: _end_labels(curve, RECONSTRUCTION),
            router: _end_labels(curve, ROUTER),
            depths: _share_labels(curve, shares),
        }
    )
    return save(figure, folder, "finetuning_depth")


def _share_labels(curve: pd.DataFrame, shares: list[str]) -> list[Label]:
    """The recursion depths at the middle of their last shares."""
    last = curve[shares].fillna(0).to_numpy()[-1]
    middles = np.cumsum(last) - last / 2
    found = []
    for share, part, middle in zip(shares, last, middles, strict=True):
        if part < SEEN:
            continue
        text = f"depth {share.removeprefix('share_')}"
        found.append(Label(curve["step"].iloc[-1], middle, text, BLACK))
    return found


def _parts(axis: Axes, curve: pd.DataFrame, names: tuple[str, ...]) -> None:
    for part in _known(curve, names):
        axis.plot(curve["step"], _smooth(curve[part]), color=PARTS[part])


def _end_labels(curve: pd.DataFrame, names: tuple[str, ...]) -> list[Label]:
    """The names of parts where their curves end."""
    found = []
    for part in _known(curve, names):
        own = curve[["step", part]].dropna()
        last = max(FLOOR, _smooth(own[part]).iloc[-1])
        found.append(Label(own["step"].iloc[-1], last, part.replace("_", " "), PARTS[part]))
    return found


def _known(curve: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    return [n for n in names if n in curve and curve[n].notna().any() and curve[n].ne(0).any()]


def _smooth(values: pd.Series) -> pd.Series:
    return values.rolling(max(1, len(values) // WINDOW), min_periods=1).mean()
