"""What all figures share: a journal's sizes and type, how axes are labelled, how files are made."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.layout_engine import ConstrainedLayoutEngine, PlaceHolderLayoutEngine
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from bench3r.report.figures.typeface import families

Colour = tuple[float, float, float] | str
ONE_COLUMN = 3.5  # inches
TWO_COLUMNS = 7.16
TALLEST = 9.3  # that leaves room for a caption on the page
POINT = 72  # points in an inch
TEXT = 8  # points
SMALL = 7  # points, of ticks and direct labels
GREY = "#767676"
BLACK = "#1a1a1a"

STYLE: dict[str, object] = {
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": TEXT,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#404040",
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "patch.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.bottom": True,
    "ytick.left": True,
    "pdf.fonttype": 42,  # TrueType, as publishers ask for
    "ps.fonttype": 42,
    "svg.fonttype": "path",  # reads the same without the font
    "svg.hashsalt": "bench3r",
}
sns.set_theme(style="whitegrid", palette="colorblind", rc=STYLE)

DPI = 160  # of the PNG, and of pictures inside of the others
CREATOR = "Bench3R"


def new_figure(width: float, height: float, *, laid_out: bool = True) -> plt.Figure:
    """An empty figure of ``width`` by ``height`` inches.

    Laid out once by :func:`settle`, unless every axis is placed by :func:`add_axes`.
    """
    plt.rcParams["font.family"] = families()
    layout = None
    if laid_out:
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.04, hspace=0.05)
    return plt.figure(figsize=(width, min(height, TALLEST)), layout=layout)


def panels(
    rows: int, columns: int, width: float, height: float, *, share: tuple[bool, bool] = (False,) * 2
) -> tuple[plt.Figure, list[Axes]]:
    """A new figure with a grid of axes, row by row; ``share``: their x axes, their y axes."""
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share[0], sharey=share[1])
    return figure, list(grid.flat)


def figure_of(axis: Axes) -> plt.Figure:
    """The figure that ``axis`` is part of. Raises ValueError when it was taken out of it."""
    figure = axis.get_figure(root=True)
    if figure is None:
        raise ValueError("the axis is part of no figure")
    return figure


def add_axes(figure: plt.Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place of ``figure`` in inches."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / tall, width / wide, height / tall))


def settle(figure: plt.Figure) -> None:
    """Lay ``figure`` out and keep the result: what is placed from now on moves nothing."""
    engine = figure.get_layout_engine()
    if engine is None or isinstance(engine, PlaceHolderLayoutEngine):
        return
    engine.execute(figure)
    figure.set_layout_engine("none")


def save(figure: plt.Figure, folder: Path, name: str) -> Path:
    """Write NAME.pdf, NAME.svg and NAME.png in the size of ``figure``; returns the PNG.

    Without dates and versions, so that the same records give the same files; each is drawn once,
    by its own canvas, where ``savefig`` would draw all twice.
    """
    settle(figure)
    folder.mkdir(parents=True, exist_ok=True)
    undated: dict[str, str | None] = {"Creator": CREATOR, "Producer": None, "CreationDate": None}
    figure.set_dpi(DPI)
    FigureCanvasPdf(figure).print_pdf(folder / f"{name}.pdf", metadata=undated)
    named: dict[str, str | None] = {"Creator": CREATOR, "Date": None}
    figure.set_dpi(DPI)  # which the canvas before has set to its own
    FigureCanvasSVG(figure).print_svg(folder / f"{name}.svg", metadata=named)
    path = folder / f"{name}.png"
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": CREATOR})
    plt.close(figure)
    return path


LOG_STEPS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))  # of a decade, the finest first


def log_ticks(axis: Axis, most: int = 5) -> None:
    """Plain numbers at 1, 2, 5, 10, ... on a logarithmic axis whose limits are set.

    Fewer of a decade where there would be over ``most``; evenly spaced ones on a short axis.
    """
    low, high = sorted(axis.get_view_interval())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FormatStrFormatter("%g"))
    counts = [_ticks_between(low, high, steps) for steps in LOG_STEPS]
    if counts[0] < 3:
        axis.set_major_locator(MaxNLocator(most - 1, steps=[1, 2, 2.5, 5, 10]))
        return
    fitting = [steps for steps, n in zip(LOG_STEPS, counts, strict=True) if n <= most]
    axis.set_major_locator(LogLocator(subs=fitting[0] if fitting else LOG_STEPS[-1]))


def _ticks_between(low: float, high: float, steps: tuple[float, ...]) -> int:
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(decades, steps)
    return int(((ticks >= low) & (ticks <= high)).sum())


def wrapped(name: str, width: int = 18) -> str:
    """A name in lines of about ``width`` letters, its options on lines of their own."""
    head, bracket, options = name.partition(" (")
    lines = textwrap.wrap(head, width)
    return "\n".join([*lines, *textwrap.wrap(f"({options}", width + 6)] if bracket else lines)


def in_lines(title: str) -> str:
    """A title with its unit on a line of its own, where panels are narrow."""
    return title.replace(" (", "\n(", 1)
