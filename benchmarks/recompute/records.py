"""The records of a run as they lie on disk, by setting and scene."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.models.catalogue import reference_of

Raw = dict[str, Any]  # a parsed record


class Setting(NamedTuple):
    """What has a row of a table."""

    method: str
    backbone: str
    options: str  # JSON, its keys sorted


class Scene(NamedTuple):
    """A scene, whatever the seed."""

    dataset: str
    frames: int
    name: str


@dataclass
class Cell:
    """What a plan says of a cell."""

    id: str
    setting: Setting
    kind: str
    label: str
    dataset: str
    frames: int
    seed: int
    tables: list[str]


@dataclass
class Records:
    """All records of a run: ``results`` is its folder, ``plan`` its parsed plan."""

    plan: Raw
    results: Path
    cells: list[Cell] = field(init=False)

    def __post_init__(self) -> None:
        self.cells = [cell_of(raw) for raw in self.plan["cells"]]

    @cached_property
    def predicted(self) -> dict[str, list[Raw]]:
        """Predict records by cell."""
        return {c.id: lines(self.results / "predict" / f"{c.id}.jsonl") for c in self.cells}

    @cached_property
    def scored(self) -> dict[str, list[Raw]]:
        """Score records by cell."""
        return {c.id: lines(self.results / "score" / f"{c.id}.jsonl") for c in self.cells}

    @cached_property
    def profiles(self) -> dict[tuple[Setting, int], Raw]:
        """Cost records by setting and frame count."""
        found: dict[tuple[Setting, int], Raw] = {}
        for entry in self.plan["profiles"]:
            path = self.results / "profile" / f"{entry['id']}.json"
            if path.exists() and not entry["largest"]:
                found.setdefault((setting_of(entry), entry["frames"]), json.loads(path.read_text()))
        return found

    @cached_property
    def trainings(self) -> dict[str, Raw]:
        """Training records by id."""
        found = {}
        for entry in self.plan["trainings"]:
            path = self.results / "train" / f"{entry['id']}.json"
            if path.exists():
                found[entry["id"]] = json.loads(path.read_text())
        return found

    @cached_property
    def kinds(self) -> dict[Setting, str]:
        """Backbone, plugin, model or control, by setting."""
        return {cell.setting: cell.kind for cell in self.cells}

    def dataset_names(self) -> dict[str, str]:
        """By label the datasets of the run."""
        names = {cell.dataset for cell in self.cells}
        return {DATASETS.get(name).label: name for name in names}

    def cells_on(self, datasets: set[str], frames: int) -> Iterator[Cell]:
        """The cells of some datasets and a frame count."""
        for cell in self.cells:
            if cell.dataset in datasets and cell.frames == frames:
                yield cell

    def main_settings(self, *, controls: bool = True) -> list[Setting]:
        """The settings of the main comparison in planned order."""
        found: dict[Setting, None] = {}
        for cell in self.cells:
            if "main" in cell.tables and (controls or cell.kind != "control"):
                found[cell.setting] = None
        return list(found)

    def main_datasets(self) -> set[str]:
        """The datasets of the main comparison."""
        return {cell.dataset for cell in self.cells if "main" in cell.tables}

    def label_of(self, setting: Setting) -> str:
        """How its method is printed."""
        return next(cell.label for cell in self.cells if cell.setting == setting)

    def unchanged(self, setting: Setting) -> Setting | None:
        """The unchanged backbone of ``setting``; None where the run has none."""
        wanted = reference_of(setting.backbone)
        for cell in self.cells:
            if cell.setting.method == wanted and cell.kind == "backbone":
                return cell.setting
        return None

    def trivial(self, settings: list[Setting]) -> Setting | None:
        """The control among ``settings`` that is told nothing of a scene."""
        for setting in settings:
            told = METHODS.get(setting.method).conditions_on
            if self.kinds[setting] == "control" and not told:
                return setting
        return None


@dataclass
class Part:
    """The records of some settings on some datasets at a frame count: what a table is about."""

    records: Records
    settings: list[Setting]
    datasets: set[str]
    frames: int

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of it."""
        wanted = set(self.settings)
        found = self.records.cells_on(self.datasets, self.frames)
        return [cell for cell in found if cell.setting in wanted]

    @cached_property
    def finished(self) -> dict[Setting, dict[tuple[Scene, int], bool]]:
        """By setting, scene and seed whether every record is ok."""
        found: dict[Setting, dict[tuple[Scene, int], bool]] = defaultdict(dict)
        for cell in self.cells:
            own = found[cell.setting]
            every = (*self.records.predicted[cell.id], *self.records.scored[cell.id])
            for row in every:
                place = Scene(cell.dataset, cell.frames, row["scene"]), cell.seed
                own[place] = own.get(place, True) and row["status"] == "ok"
        return found

    @cached_property
    def common(self) -> set[tuple[Scene, int]]:
        """Scenes and seeds that every setting finished that finished any."""
        sets = []
        for own in self.finished.values():
            done = {place for place, ok in own.items() if ok}
            if done:
                sets.append(done)
        return set.intersection(*sets) if sets else set()

    def values(self, protocol: str, metric: str) -> dict[Setting, dict[Scene, float]]:
        """By setting and scene a metric on the common scenes, seeds averaged."""
        seeds: dict[Setting, dict[Scene, list[float]]] = {}
        for cell in self.cells:
            for row in self.records.scored[cell.id]:
                place = Scene(cell.dataset, cell.frames, row["scene"])
                if row["protocol"] != protocol or (place, cell.seed) not in self.common:
                    continue
                own = seeds.setdefault(cell.setting, {}).setdefault(place, [])
                own.append(row["metrics"].get(metric, float("nan")))
        means: dict[Setting, dict[Scene, float]] = {}
        for setting, scenes in seeds.items():
            means[setting] = {s: sum(v) / len(v) for s, v in scenes.items()}
        return means

    def facts(self, setting: Setting, *, common: bool) -> list[Raw]:
        """Predict records of ``setting`` that are ok: all, or on the common scenes."""
        found = []
        for cell in self.records.cells:
            if cell.setting != setting or cell.frames != self.frames:
                continue
            for row in self.records.predicted[cell.id]:
                place = Scene(cell.dataset, cell.frames, row["scene"]), cell.seed
                if row["status"] == "ok" and (not common or place in self.common):
                    found.append(row)
        return found


def lines(path: Path) -> list[Raw]:
    """The rows of a JSON-lines file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def setting_of(raw: Raw) -> Setting:
    """The setting of an entry of the plan."""
    return Setting(raw["method"], raw["backbone"], json.dumps(raw["options"], sort_keys=True))


def cell_of(raw: Raw) -> Cell:
    """A cell of the plan."""
    return Cell(
        id=raw["id"],
        setting=setting_of(raw),
        kind=raw["kind"],
        label=raw["label"],
        dataset=raw["dataset_name"],
        frames=raw["frames"],
        seed=raw["seed"],
        tables=raw["tables"],
    )
