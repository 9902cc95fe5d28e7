"""What all figures share: how they look, how their axes are labelled, how they are written."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)

Colour = tuple[float, float, float] | str
MARKERS = "os^D"


def save(figure: plt.Figure, folder: Path, name: str) -> Path:
    """Write NAME.png and NAME.pdf; returns the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("pdf", "png"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=150, bbox_inches="tight")
    plt.close(figure)
    return folder / f"{name}.png"


def looks_of(names: list[str]) -> dict[str, tuple[Colour, str]]:
    """Colour and marker of every name: ten colours, and after them the same with another marker."""
    palette = sns.color_palette("colorblind")
    out: dict[str, tuple[Colour, str]] = {}
    for i, name in enumerate(names):
        marker = MARKERS[i // len(palette) % len(MARKERS)]
        out[name] = (palette[i % len(palette)], marker)
    return out


def log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2, 5, 10, ... on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
