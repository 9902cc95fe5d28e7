"""From a configuration to cells: which (method, options, backbone, scale, dataset, frames, seed) run, and their keys.

The plan is a JSON file that the Snakefile reads, so a Snakemake parse imports neither plug-ins nor torch. It is made
again when the configuration, methods/, datasets/ or the library change, and without torch (bench3r/run/torch_stub.py).
"""

from __future__ import annotations

import itertools
import typing
import warnings
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError, Unsupported, describe, unknown
from bench3r.api.method import METHODS, Method, MethodOptions
from bench3r.data.frame_lists import load_list
from bench3r.data.procedural.seeds import GENERATOR_VERSION, TEST_SEEDS
from bench3r.files import digest, file_digest
from bench3r.models.catalogue import NETWORKS, NO_BACKBONE, backbones
from bench3r.protocols import PROTOCOLS, protocol_hash
from bench3r.run.config import Ablation, DatasetConfig, RunConfig
from bench3r.run.keys import base_key, digest_once, method_key, shipped_part
from bench3r.run.provenance import stage_hash


class Entry(BaseModel):
    """Base of what a plan lists."""

    model_config = ConfigDict(extra="forbid")


class DatasetEntry(Entry):
    """One prepared dataset."""

    id: str
    name: str
    root: str
    scenes: int | Literal["all"] | list[str]
    frame_list: str | None = None
    intrinsics: Literal["exact", "pi3"] = "exact"
    views: int
    step: int | None
    windows: int
    frames: list[int]
    seed: int
    key: str
    main: bool


class TrainEntry(Entry):
    """One training: a base (``method`` is None) or what a method learns."""

    id: str
    method: str | None
    options: dict[str, Any]
    backbone: str
    scale: str
    seed: int
    base: str | None  # id of the base's training that a method starts from, when the run trains it
    key: str


class Cell(Entry):
    """One predict job and one score job."""

    id: str
    method: str
    label: str
    kind: str
    options: dict[str, Any]
    backbone: str
    scale: str
    dataset: str
    dataset_name: str
    frames: int
    seed: int
    trained: str | None  # id of the method's own training
    base: str | None  # id of the base's training, when the run trains it
    key: str
    unsupported: str = ""
    reference: str | None = (
        None  # the unchanged backbone's cell on the same scenes, where `fidelity` compares with it
    )
    tables: list[str]  # where the cell appears: "main", names of ablations


class ProfileEntry(Entry):
    """One cost measurement; with ``largest`` a search for the most frames that fit, up to that many."""

    id: str
    method: str
    label: str
    options: dict[str, Any]
    backbone: str
    scale: str
    frames: int
    dataset: str  # whose first scenes are the input
    trained: str | None
    base: str | None
    key: str
    largest: int | None = None


class Plan(Entry):
    """Everything a run consists of."""

    config: dict[str, Any]
    datasets: list[DatasetEntry]
    trainings: list[TrainEntry]
    cells: list[Cell]
    profiles: list[ProfileEntry]
    score_key: str
    prediction_bytes: int

    def cell(self, name: str) -> Cell:
        """The cell called ``name``."""
        return _find(self.cells, name, "cell")

    def dataset(self, name: str) -> DatasetEntry:
        """The dataset entry called ``name``."""
        return _find(self.datasets, name, "dataset")

    def training(self, name: str) -> TrainEntry:
        """The training called ``name``."""
        return _find(self.trainings, name, "training")

    def profile(self, name: str) -> ProfileEntry:
        """The cost measurement called ``name``."""
        return _find(self.profiles, name, "profile")

    def run_config(self) -> RunConfig:
        """The configuration as an object."""
        return RunConfig.model_validate(self.config)


def _find(entries: list[Any], name: str, kind: str) -> Any:
    for entry in entries:
        if entry.id == name:
            return entry
    raise unknown(kind, name, [e.id for e in entries], "plan")


def is_sequence_type(annotation: Any) -> bool:
    """Whether an option's type is itself a list or tuple, so that a list of values is one value."""
    origin = typing.get_origin(annotation)
    if origin in (list, tuple):
        return True
    return (
        any(is_sequence_type(a) for a in typing.get_args(annotation))
        if origin is typing.Union
        else False
    )


def expand_options(
    raw: dict[str, Any] | None, options: type[MethodOptions], where: str
) -> list[MethodOptions]:
    """Every combination of the axes in ``raw``. Raises Bench3RError for unknown options and values out of range."""
    raw = raw or {}
    fields = options.model_fields
    for key in raw:
        if key not in fields:
            raise unknown("option", key, fields, where)
    axes = []
    for key, value in raw.items():
        sequence = is_sequence_type(fields[key].annotation)
        several = isinstance(value, list) and (
            not sequence or (value and isinstance(value[0], list))
        )
        axes.append([(key, v) for v in (value if several else [value])])
    try:
        return [options.model_validate(dict(chosen)) for chosen in itertools.product(*axes)]
    except ValidationError as error:
        raise describe(error, where, fields) from error


def expand_grids(raw: Any, options: type[MethodOptions], where: str) -> list[MethodOptions]:
    """Every combination of one grid of options, or of each of a list of grids; the same options appear once."""
    grids = raw if isinstance(raw, list) else [raw]
    wheres = [f"{where}[{i}]" for i in range(len(grids))] if isinstance(raw, list) else [where]
    found = [
        o
        for grid, place in zip(grids, wheres, strict=True)
        for o in expand_options(grid, options, place)
    ]
    return list({digest(o.model_dump(mode="json")): o for o in found}.values())


def options_text(options: dict[str, Any]) -> str:
    """Readable short form for file names: the values that were set, hashed when long."""
    text = "-".join(f"{k}={v}" for k, v in sorted(options.items()))
    safe = "".join(c if c.isalnum() or c in "=.-" else "_" for c in text)
    return safe if len(safe) <= 40 else f"{safe[:31]}-{digest(options)[:8]}"


def check_frame_list(name: str, wanted: DatasetConfig, frames: list[int]) -> None:
    """Raise Bench3RError for a frame list of another dataset, and where list and frame counts contradict each other."""
    where = f"config: datasets.{name}"
    if wanted.frame_list is None:
        if 0 in frames:
            raise Bench3RError(f"{where}: frames 0 means those of a frame list, and it has none")
        return
    found = load_list(wanted.frame_list)
    if found.dataset != name:
        raise Bench3RError(f"{where}.frame_list: {found.name} is a list of {found.dataset}")
    if found.fixes_frames != (frames == [0]):
        asked = (
            "fixes the frames: set `frames: [0]`"
            if found.fixes_frames
            else "leaves the number of frames to `frames`"
        )
        raise Bench3RError(f"{where}.frame_list: {found.name} {asked}, got {frames}")


def plan_datasets(config: RunConfig, classes: dict[str, type[Dataset]]) -> list[DatasetEntry]:
    """Entries for the configured datasets, each with the hash of all that defines its scenes."""
    entries = []
    for name, wanted in config.datasets.items():
        if name not in classes:
            raise unknown("dataset", name, classes, "config: datasets")
        if wanted.root == "procedural" and classes[name].procedural_style is None:
            raise Bench3RError(
                f"config: datasets.{name}.root: {name} has no procedural stand-in; give the data root. "
                f"{classes[name].obtain}"
            )
        if wanted.root == "procedural" and max(config.frames) > wanted.views:
            raise Bench3RError(
                f"config: datasets.{name}.views is {wanted.views}, fewer than frames {max(config.frames)}"
            )
        check_frame_list(name, wanted, config.frames)
        spec = {
            **wanted.model_dump(exclude={"main"}),
            "frames": config.frames,
            "code": stage_hash("prepare"),
            "plugin": file_digest(DATASETS.file_of(name)),
        }
        if wanted.root == "procedural":
            spec |= {"generator": GENERATOR_VERSION, "seeds": TEST_SEEDS + wanted.seed}
        key = digest(spec)
        entries.append(
            DatasetEntry(
                id=f"{name}-{key[:8]}",
                name=name,
                root=wanted.root,
                scenes=wanted.scenes,
                views=wanted.views,
                step=wanted.step,
                windows=wanted.windows,
                frames=config.frames,
                seed=wanted.seed,
                key=key,
                main=wanted.main,
                frame_list=wanted.frame_list,
                intrinsics=wanted.intrinsics,
            )
        )
    return entries


class Planner:
    """Builds the plan of one configuration."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.methods, self.broken = METHODS.usable()
        self.datasets, broken_datasets = DATASETS.usable()
        for name in config.datasets:
            if name not in self.datasets:
                raise DATASETS.missing(name, self.datasets, broken_datasets, "config: datasets")
        for error in (
            *self.broken.values(),
            *broken_datasets.values(),
        ):  # a run that names one stops
            warnings.warn(f"left out, nothing in this run may need it: {error}", stacklevel=2)
        self.trainings: dict[str, TrainEntry] = {}
        self.profiles: dict[str, ProfileEntry] = {}

    def check_names(self) -> None:
        """Raise Bench3RError for methods, backbones and protocols that do not exist."""
        for name in self.config.methods:
            if name not in self.methods:
                raise METHODS.missing(name, self.methods, self.broken, "config: methods")
        for name, ablation in self.config.ablations.items():
            for method in ablation.grids():
                if method not in self.methods:
                    raise METHODS.missing(
                        method, self.methods, self.broken, f"config: ablations.{name}"
                    )
        known = backbones()
        for name in {
            *self.config.backbones,
            *(b for a in self.config.ablations.values() for b in a.backbones or ()),
        }:
            if name not in known:
                raise unknown("backbone", name, known, "config: backbones")
        for name in self.config.protocols:
            if name not in PROTOCOLS:
                raise unknown("protocol", name, PROTOCOLS, "config: protocols")

    def backbones_of(self, cls: type[Method], among: list[str]) -> list[str]:
        """Those ``among`` the backbones that ``cls`` runs on; of a whole model its own network, else NO_BACKBONE."""
        if cls.kind in ("control", "model"):
            return list(cls.backbones or [NO_BACKBONE])
        chosen = [b for b in among if cls.backbones is None or b in cls.backbones]
        for backbone in chosen:
            lacking = [s for s in cls.hooks if s not in NETWORKS.get(backbone).hooks]
            if lacking:
                raise Bench3RError(
                    f"config: methods.{cls.name}: backbone {backbone} has no {' or '.join(lacking)} hook"
                )
        return chosen

    def add_training(
        self,
        method: str | None,
        options: dict[str, Any],
        backbone: str,
        seed: int,
        base: str | None = None,
    ) -> str:
        """Register a training; returns its id."""
        spec = {
            **base_key(self.config, backbone),
            "method": method,
            "options": options,
            "backbone": backbone,
            "seed": seed,
        }
        spec |= {"scale": self.config.scale, "code": stage_hash("train"), "base_training": base}
        if method:
            how = {
                "fit_scenes": self.config.fit_scenes,
                "finetune": self.config.finetune.model_dump(),
            }
            shipped = backbone != NO_BACKBONE and self.config.base_of(backbone) == "shipped"
            part = shipped_part(method, options, backbone, self.config.scale) if shipped else None
            how["shipped"] = digest_once(part) if part else None
            spec |= {"plugin": method_key(method), **how}
        key = digest(spec)
        name = f"{method or 'base'}.{backbone}.{self.config.scale}.s{seed}.{key[:8]}"
        self.trainings[name] = TrainEntry(
            id=name,
            method=method,
            options=options,
            backbone=backbone,
            scale=self.config.scale,
            seed=seed,
            base=base,
            key=key,
        )
        return name

    def cells_of(
        self,
        name: str,
        grids: Any,
        where: str,
        datasets: list[DatasetEntry],
        table: str,
        ablation: Ablation | None = None,
    ) -> list[Cell]:
        """The cells of one method for ``grids`` of options, to be shown in ``table``."""
        cls, cells = self.methods[name], []
        options = expand_grids(grids, cls.Options, where)
        backbones = self.backbones_of(
            cls, (ablation and ablation.backbones) or self.config.backbones
        )
        counts = (ablation and ablation.frames) or self.config.frames
        for option, backbone, seed in itertools.product(options, backbones, self.config.seeds):
            reason = self._unsupported(cls(option), backbone)
            needs_base = backbone != NO_BACKBONE and self.config.base_of(backbone) == "train"
            base = self.add_training(None, {}, backbone, seed) if needs_base else None
            method = cls(option)
            trained = (
                self.add_training(name, method.training_options(), backbone, seed, base)
                if method.needs_training
                else None
            )
            for dataset, frames in itertools.product(datasets, counts):
                cells.append(
                    self._cell(
                        cls, option, backbone, seed, dataset, frames, trained, base, reason, table
                    )
                )
            timed = ablation is None or ablation.profile
            if timed and cls.kind != "control" and not reason and seed == self.config.seeds[0]:
                self._profiles(cls, option, backbone, datasets[0], trained, base)
        return cells

    def _unsupported(self, method: Method, backbone: str) -> str:
        try:
            method.check(backbone, self.config.scale)
        except Unsupported as error:
            return str(error)
        return ""

    def _cell(
        self,
        cls: type[Method],
        option: MethodOptions,
        backbone: str,
        seed: int,
        dataset: DatasetEntry,
        frames: int,
        trained: str | None,
        base: str | None,
        unsupported: str,
        table: str,
    ) -> Cell:
        config = self.config
        comparable = {
            "options": option.model_dump(mode="json"),
            "method": method_key(cls.name),
            "backbone": backbone,
            "scale": config.scale,
            "data": dataset.key,
            "frames": frames,
            "seed": seed,
            "precision": config.precision,
            "device": config.device,
            "code": stage_hash("predict"),
            "keep": config.keep.model_dump(),
            "trained": trained,
            **base_key(config, backbone),
        }
        key = digest(comparable)
        changed = options_text(option.model_dump(mode="json", exclude_defaults=True)) or "default"
        name = f"{cls.name}.{backbone}.{config.scale}.{dataset.id}.f{frames}.s{seed}.{changed}"
        return Cell(
            id=name,
            method=cls.name,
            label=cls.label,
            kind=cls.kind,
            options=comparable["options"],
            backbone=backbone,
            scale=config.scale,
            dataset=dataset.id,
            dataset_name=dataset.name,
            frames=frames,
            seed=seed,
            trained=trained,
            base=base,
            key=key,
            unsupported=unsupported,
            tables=[table],
        )

    def _profiles(
        self,
        cls: type[Method],
        option: MethodOptions,
        backbone: str,
        dataset: DatasetEntry,
        trained: str | None,
        base: str | None,
    ) -> None:
        values, how = option.model_dump(mode="json"), self.config.profile
        wanted: list[tuple[int, int | None]] = [(frames, None) for frames in how.frames]
        wanted += [(1, how.largest)] if how.largest else []
        for frames, largest in wanted:
            spec = {
                "options": values,
                "method": method_key(cls.name),
                "backbone": backbone,
                "frames": frames,
                "scale": self.config.scale,
                "code": stage_hash("profile"),
                "device": self.config.device,
                "precision": self.config.precision,
                "data": dataset.key,
                "trained": trained,
                **base_key(self.config, backbone),
                "how": how.model_dump(exclude={"frames", "largest"}),
            }
            if largest:
                spec |= {"largest": largest, "limits": self.config.limits.model_dump()}
            changed = (
                options_text(option.model_dump(mode="json", exclude_defaults=True)) or "default"
            )
            name = f"{cls.name}.{backbone}.{self.config.scale}.{'largest' if largest else f'f{frames}'}.{changed}"
            self.profiles[name] = ProfileEntry(
                id=name,
                method=cls.name,
                label=cls.label,
                options=values,
                backbone=backbone,
                scale=self.config.scale,
                frames=frames,
                dataset=dataset.id,
                trained=trained,
                base=base,
                key=digest(spec),
                largest=largest,
            )

    def _all_cells(self, datasets: list[DatasetEntry]) -> list[Cell]:
        """Cells of the methods, then of the ablations; a cell that several tables show is planned once."""
        found: dict[str, Cell] = {}
        planned = [
            c
            for name, grids in self.config.methods.items()
            for c in self.cells_of(
                name, grids, f"config: methods.{name}", [d for d in datasets if d.main], "main"
            )
        ]
        for name, ablation in self.config.ablations.items():
            names = ablation.datasets or [d.name for d in datasets if d.main]
            chosen = [d for d in datasets if d.name in names]
            for method, grids in ablation.grids().items():
                where = f"config: ablations.{name}.{method}"
                planned += self.cells_of(method, grids, where, chosen, name, ablation)
        for cell in planned:
            if cell.id in found:
                found[cell.id].tables = sorted({*found[cell.id].tables, *cell.tables})
            else:
                found[cell.id] = cell
        self._add_references(found)
        return list(found.values())

    def _add_references(self, cells: dict[str, Cell]) -> None:
        """Tell every plug-in's cell which one holds its unchanged backbone, when a protocol compares the two."""
        dense = {
            (c.backbone, c.dataset, c.frames, c.seed): c.id
            for c in cells.values()
            if c.method == c.backbone
        }
        for cell in cells.values():
            if cell.kind == "plugin" and "fidelity" in self.config.protocols_for(cell.dataset_name):
                cell.reference = dense.get((cell.backbone, cell.dataset, cell.frames, cell.seed))

    def build(self) -> Plan:
        """The whole plan. Raises Bench3RError for anything that cannot be planned."""
        self.check_names()
        datasets = plan_datasets(self.config, self.datasets)
        cells = self._all_cells(datasets)
        score_key = digest(
            [
                *(protocol_hash(p) for p in self.config.protocols),
                self.config.only,
                stage_hash("score"),
                self.config.points,
            ]
        )
        return Plan(
            config=self.config.model_dump(mode="json"),
            datasets=datasets,
            trainings=list(self.trainings.values()),
            cells=cells,
            profiles=list(self.profiles.values()),
            score_key=score_key,
            prediction_bytes=sum(self._bytes(c) for c in cells),
        )

    def _bytes(self, cell: Cell) -> int:
        """Upper estimate of a cell's stored predictions, uncompressed."""
        wanted = self.config.datasets[cell.dataset_name]
        listed = load_list(wanted.frame_list).lists if wanted.frame_list else {}
        scenes = (
            wanted.scenes if isinstance(wanted.scenes, int) else len(listed) or len(wanted.scenes)
        )
        frames = cell.frames or max((len(f) for f in listed.values() if f), default=0)
        side = {"tiny": 96, "paper": 256, "full": 518}[cell.scale]
        per_pixel = 4 + 2 * self.config.keep.depth_conf + 12 * self.config.keep.world_points
        return scenes * wanted.windows * frames * side * side * per_pixel


def make_plan(config: RunConfig) -> Plan:
    """The plan of ``config``."""
    return Planner(config).build()


def adhoc_dataset(name: str, wanted: Any, frames: list[int]) -> DatasetEntry:
    """The dataset entry of a typed command, outside any plan. Raises Bench3RError for an unknown dataset."""
    config = RunConfig(name="adhoc", methods={"-": None}, datasets={name: wanted}, frames=frames)
    return plan_datasets(config, DATASETS.usable()[0])[0]
