"""One scene of every dataset with what methods predicted, for panels and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import SceneData
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import read_prepared
from bench3r.files import read_npz
from bench3r.models.catalogue import input_size
from bench3r.report.names import label_of
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import PredictRecord, read_records

Arrays = dict[str, np.ndarray]  # of a prediction, by name


@dataclass
class Example:
    """One scene that methods finished, with all that was kept of their predictions, by label."""

    scene: SceneData
    predictions: dict[str, Arrays]
    patch: int  # side in pixels

    @property
    def depths(self) -> Arrays:
        """Predicted z-depth [S, H, W] by label."""
        return {label: arrays["depth"] for label, arrays in self.predictions.items()}

    @property
    def recursion_depths(self) -> Arrays:
        """Recursion depth of patches [S, h, w] by label, of the methods that have one."""
        name = "recursion_depth"
        return {label: a[name] for label, a in self.predictions.items() if name in a}


def find_examples(plan: Plan) -> dict[str, Example | str]:
    """By dataset its :func:`example`, or why its scene cannot be read; nothing where none is."""
    found: dict[str, Example | str] = {}
    for dataset in plan.datasets:
        try:
            one = example(plan, dataset.name)
        except Bench3RError as error:
            found[dataset.name] = str(error)
            continue
        if one is not None:
            found[dataset.name] = one
    return found


def example(plan: Plan, dataset: str) -> Example | None:
    """The first scene of ``dataset`` that main methods finished, with ground-truth z-depth.

    None when there is none. Raises Bench3RError when the scene cannot be read.
    """
    config = plan.config
    entry = next(d for d in plan.datasets if d.name == dataset)
    prepared = read_prepared(paths.prepared(entry.id))
    frames = config.frames[0]
    cells = []
    for cell in plan.cells:
        same = (cell.dataset, cell.frames, cell.seed) == (entry.id, frames, config.seeds[0])
        if same and "main" in cell.tables:
            cells.append(cell)
    finished = {cell.id: _finished(plan, cell) for cell in cells}
    for item in prepared.lists[str(frames)]:
        predictions: dict[str, Arrays] = {}
        for cell in cells:
            if item.id in finished[cell.id]:
                predictions[cell_label(cell, cells)] = read_npz(finished[cell.id][item.id])
        if predictions:
            _, width, patch = input_size(config.backbones[0], config.scale)
            scene = SceneLoader(prepared, width, patch, predicted=True).load(item)
            return None if scene.depth is None else Example(scene, predictions, patch)
    return None


def _finished(plan: Plan, cell: Cell) -> dict[str, Path]:
    """By scene the first saved prediction of a cell."""
    path = paths.predicted(plan.name, cell.id)
    found: dict[str, Path] = {}
    for record in read_records(path, PredictRecord):
        if record.status == "ok" and record.prediction:
            found.setdefault(record.scene, path.with_suffix("") / record.prediction)
    return found


def cell_label(cell: Cell, cells: list[Cell]) -> str:
    """Label of a cell, with its options where several of ``cells`` share it."""
    everyone = [other.options for other in cells if other.method == cell.method]
    return label_of(cell.method, cell.label, cell.options, everyone)
