"""Training curves: of the shipped bases that a run uses, and of what it fine-tuned."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.api.registry import LIBRARY
from bench3r.models.catalogue import NO_BACKBONE, label_of_network
from bench3r.report.examples import cell_label
from bench3r.report.figures.training import finetuning, finetuning_shares, training_curve
from bench3r.report.section import Canvas, Figure, Section
from bench3r.run import paths
from bench3r.run.plan import Plan

WEIGHTS = LIBRARY / "weights"  # bases that ship, each with its curve


def training_figures(canvas: Canvas) -> Iterator[Figure]:
    """A curve for every base, all variants in one figure, and the last adaptive one in detail."""
    plan = canvas.run.plan
    yield from base_figures(plan, canvas)
    curves = training_curves(plan)
    yield Figure("Fine-tuning of the variants.", finetuning(curves, canvas.folder))
    for name, curve in reversed(curves.items()):
        path = finetuning_shares(curve, canvas.folder)
        if path is not None:
            yield Figure(f"Fine-tuning of {name}: losses and depth.", path)
            break


def base_figures(plan: Plan, canvas: Canvas) -> Iterator[Figure]:
    """How the shipped bases of the run were trained."""
    for backbone in sorted({cell.backbone for cell in plan.cells} - {NO_BACKBONE}):
        file = WEIGHTS / f"{backbone}-{plan.config.scale}.csv"
        if plan.config.base_of(backbone) != "shipped" or not file.exists():
            continue
        label = label_of_network(backbone)
        title = f"Training of the shipped {label} base, {plan.config.scale}"
        curve = pd.read_csv(file)
        path = training_curve(curve, canvas.folder, f"training_{backbone}")
        yield Figure(f"{title}.", path)


def training_curves(plan: Plan) -> dict[str, pd.DataFrame]:
    """Curves of the fine-tuned main methods, by label and options."""
    cells = {c.trained: c for c in plan.cells if c.trained and "main" in c.tables}
    found: dict[str, pd.DataFrame] = {}
    for training, cell in cells.items():
        path = paths.trained(plan.name, training).with_suffix(".csv")
        if path.exists():
            curve = pd.read_csv(path)
            if len(curve):
                found[cell_label(cell, list(cells.values()))] = curve
    return found


SECTION = Section("training_curves", 245, "training", figures=training_figures)
