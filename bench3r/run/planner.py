"""From a configuration to a plan: which cells, trainings and cost measurements run.

A plan is made again when the configuration, methods/, datasets/ or the library change, and without
torch (``bench3r/run/torch_stub.py``).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError, unknown
from bench3r.api.method import METHODS, Method
from bench3r.files import digest
from bench3r.models.catalogue import backbones
from bench3r.protocols import PROTOCOLS, protocol_hash
from bench3r.run.config import RunConfig
from bench3r.run.datasets import plan_dataset, plan_datasets, prediction_bytes
from bench3r.run.keys import base_key, method_key, presentation_hash, stage_hash
from bench3r.run.options import set_text
from bench3r.run.plan import Cell, DatasetEntry, Entry, Plan, ProfileEntry
from bench3r.run.records import Json
from bench3r.run.variants import Trainings, Variant, Wanted, variants

COMPARES = "fidelity"  # the protocol that compares with the unchanged backbone
LADDER = ("ladder", "ladder_most")  # of interest to unchanged backbones alone


def cell_of(
    config: RunConfig, variant: Variant, dataset: DatasetEntry, frames: int, table: str
) -> Cell:
    """The cell of ``variant`` on ``frames`` frames of ``dataset``, to be shown in ``table``."""
    spec = _spec(config, variant, dataset)
    spec |= {
        "frames": frames,
        "seed": variant.seed,
        "code": stage_hash("predict"),
        "keep": config.keep.model_dump(),
    }
    method = variant.method
    place = f"{method.name}.{variant.backbone}.{config.scale}.{dataset.id}.f{frames}"
    return Cell(
        id=f"{place}.s{variant.seed}.{set_text(method.options)}",
        method=method.name,
        label=method.label,
        kind=method.kind,
        options=variant.options,
        backbone=variant.backbone,
        scale=config.scale,
        dataset=dataset.id,
        dataset_name=dataset.name,
        frames=frames,
        seed=variant.seed,
        trained=variant.trained,
        base=variant.base,
        key=digest(spec),
        unsupported=variant.unsupported,
        tables=[table],
    )


def profile_of(
    config: RunConfig, variant: Variant, dataset: DatasetEntry, frames: int, largest: int | None
) -> ProfileEntry:
    """The cost measurement of ``variant`` at ``frames``, or its search up to ``largest`` frames."""
    spec = _spec(config, variant, dataset)
    spec |= {
        "frames": frames,
        "code": stage_hash("profile"),
        "how": config.profile.model_dump(exclude={"frames", "largest", *LADDER}),
    }
    if variant.method.name == variant.backbone and not largest:
        how = config.profile
        spec["ladder"] = [[rung, how.why_left_out(rung, frames)] for rung in how.ladder]
    if largest:
        spec |= {"largest": largest, "limits": config.limits.model_dump()}
    method = variant.method
    count = "largest" if largest else f"f{frames}"
    place = f"{method.name}.{variant.backbone}.{config.scale}.{count}"
    return ProfileEntry(
        id=f"{place}.{set_text(method.options)}",
        method=method.name,
        label=method.label,
        options=variant.options,
        backbone=variant.backbone,
        scale=config.scale,
        frames=frames,
        dataset=dataset.id,
        trained=variant.trained,
        base=variant.base,
        key=digest(spec),
        largest=largest,
    )


def _spec(config: RunConfig, variant: Variant, dataset: DatasetEntry) -> Json:
    """What makes the results of a variant comparable, whatever is done with it."""
    return {
        "options": variant.options,
        "method": method_key(variant.method.name),
        "backbone": variant.backbone,
        "scale": config.scale,
        "data": dataset.key,
        "precision": config.precision,
        "offload_taps": config.offload_taps,
        "device": config.device,
        "trained": variant.trained,
        **base_key(config, variant.backbone),
    }


class Planner:
    """Builds the plan of one configuration.

    Raises Bench3RError when the configuration names a dataset that cannot be used.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.methods, self.broken = METHODS.usable()
        self.datasets, broken_datasets = DATASETS.usable()
        for name in config.datasets:
            if name not in self.datasets:
                raise DATASETS.missing(name, self.datasets, broken_datasets, "config: datasets")
        for error in (*self.broken.values(), *broken_datasets.values()):
            # A run that names one stops.
            warnings.warn(f"left out, nothing in this run may need it: {error}", stacklevel=2)
        self.trainings = Trainings(config)
        self.profiles: dict[str, ProfileEntry] = {}
        self.first: DatasetEntry  # what costs are measured on, set when datasets are planned
        self.inputs: dict[str, DatasetEntry] = {}  # rendered for cost measurements alone

    def check_names(self) -> None:
        """Raise Bench3RError for methods, backbones and protocols that do not exist."""
        self._check_methods(self.config.methods, "config: methods")
        self._check_methods(self.config.finetune_by_method, "config: finetune_by_method")
        named = list(self.config.backbones)
        for name, ablation in self.config.ablations.items():
            self._check_methods(ablation.grids(), f"config: ablations.{name}")
            named += ablation.backbones or []
        known = backbones()
        for name in named:
            if name not in known:
                raise unknown("backbone", name, known, "config: backbones")
        for name in self.config.protocols:
            if name not in PROTOCOLS.files():
                raise unknown("protocol", name, PROTOCOLS.files(), "config: protocols")

    def _check_backbones(self, cells: list[Cell]) -> None:
        """Raise Bench3RError for a backbone that the run lists and that no method runs on."""
        if "backbones" not in self.config.model_fields_set:
            return
        used = {self.config.sees(cell.backbone) for cell in cells}
        for name in self.config.backbones:
            if name not in used:
                raise Bench3RError(f"config: backbones: no method of the run runs on {name}")

    def _check_methods(self, names: Iterable[str], where: str) -> None:
        for name in names:
            if name not in self.methods:
                raise METHODS.missing(name, self.methods, self.broken, where)

    def cells_of(
        self, cls: type[Method], wanted: Wanted, datasets: list[DatasetEntry]
    ) -> list[Cell]:
        """The cells of one method that ``wanted`` asks for; what else they need is planned, too."""
        cells = []
        counts = wanted.frames(self.config)
        for variant in variants(cls, wanted, self.config, self.trainings):
            for dataset, frames in itertools.product(datasets, counts):
                cells.append(cell_of(self.config, variant, dataset, frames, wanted.table))
            if wanted.timed() and self._can_be_timed(variant):
                self._add_profiles(variant)
        return cells

    def _can_be_timed(self, variant: Variant) -> bool:
        first = variant.seed == self.config.seeds[0]
        return first and variant.method.kind != "control" and not variant.unsupported

    def _add_profiles(self, variant: Variant) -> None:
        """Cost measurements at every frame count, and the search for the maximum one.

        All on the first dataset, so that no table compares costs of different inputs.
        """
        how = self.config.profile
        counts: list[tuple[int, int | None]] = [(frames, None) for frames in how.frames]
        if how.largest:
            counts.append((1, how.largest))
        for frames, largest in counts:
            inputs = self._inputs(self.first, largest or frames)
            entry = profile_of(self.config, variant, inputs, frames, largest)
            _check_same(self.profiles.setdefault(entry.id, entry), entry)

    def _inputs(self, dataset: DatasetEntry, frames: int) -> DatasetEntry:
        """What costs are measured on: ``dataset``, or longer scenes where it is rendered too short.

        No frame is given twice: of real scenes all frames can be taken, rendered ones need more.
        """
        if dataset.root != "procedural" or frames <= dataset.views:
            return dataset
        how = self.config.profile
        most = max(*how.frames, how.largest or 1)
        longer = {"views": most, "scenes": how.scenes, "windows": 1, "step": None, "main": False}
        wanted = self.config.datasets[dataset.name].model_copy(update=longer)
        entry = plan_dataset(dataset.name, wanted, [most])
        self.inputs[entry.id] = entry
        return entry

    def _all_cells(self, datasets: list[DatasetEntry]) -> list[Cell]:
        """Cells of the methods, then of the ablations; one that several tables show stands once."""
        found: dict[str, Cell] = {}
        for cell in self._planned(datasets):
            known = found.setdefault(cell.id, cell)
            _check_same(known, cell)
            known.tables = sorted({*known.tables, *cell.tables})
        self._add_references(found)
        return list(found.values())

    def _planned(self, datasets: list[DatasetEntry]) -> Iterator[Cell]:
        main = [d for d in datasets if d.main]
        for name, grids in self.config.methods.items():
            wanted = Wanted(grids, f"config: methods.{name}", "main")
            yield from self.cells_of(self.methods[name], wanted, main)
        for title, ablation in self.config.ablations.items():
            chosen = main
            if ablation.datasets:
                chosen = [d for d in datasets if d.name in ablation.datasets]
            for name, grids in ablation.grids().items():
                wanted = Wanted(grids, f"config: ablations.{title}.{name}", title, ablation)
                yield from self.cells_of(self.methods[name], wanted, chosen)

    def _add_references(self, cells: dict[str, Cell]) -> None:
        """Tell plug-ins' cells which one holds their unchanged backbone, where it is compared."""
        unchanged = {_place(c): c.id for c in cells.values() if c.method == c.backbone}
        for cell in cells.values():
            compared = COMPARES in self.config.protocols_for(cell.dataset_name)
            if cell.kind == "plugin" and compared:
                cell.reference = unchanged.get(_place(cell))

    def build(self) -> Plan:
        """The whole plan. Raises Bench3RError for anything that cannot be planned."""
        self.check_names()
        config = self.config
        datasets = plan_datasets(config, self.datasets)
        self.first = next(d for d in datasets if d.main)
        cells = self._all_cells(datasets)
        self._check_backbones(cells)
        trainings = list(self.trainings.entries.values())
        profiles = list(self.profiles.values())
        datasets += self.inputs.values()
        listed = _listed([*datasets, *trainings, *cells, *profiles])
        shown = config.model_dump(mode="json", exclude={"limits"})
        rules = [protocol_hash(p) for p in config.protocols]
        return Plan(
            config=config,
            datasets=datasets,
            trainings=trainings,
            cells=cells,
            profiles=profiles,
            score_key=digest([*rules, config.only, stage_hash("score"), config.points]),
            collect_key=digest([presentation_hash("collect"), listed]),
            report_key=digest([presentation_hash("report"), listed, shown]),
            prediction_bytes=sum(prediction_bytes(config, c.dataset_name, c.frames) for c in cells),
        )


def _check_same(known: Entry, entry: Entry) -> None:
    """Raise Bench3RError where two results would go to one file, and one of them be lost."""
    if known.key != entry.key:
        raise Bench3RError(f"config: two settings have the same short name {entry.id}")


def _place(cell: Cell) -> tuple[str, str, int, int]:
    """What a cell and its reference have in common."""
    return cell.backbone, cell.dataset, cell.frames, cell.seed


def _listed(entries: list[Entry]) -> str:
    """The hash of all that a plan lists."""
    return digest([e.model_dump(mode="json") for e in entries])


def make_plan(config: RunConfig) -> Plan:
    """The plan of ``config``. Raises Bench3RError for anything that cannot be planned."""
    return Planner(config).build()
