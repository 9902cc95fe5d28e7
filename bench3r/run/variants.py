"""What is compared: a method with its options on one backbone at one seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import Method, TrainedMethod
from bench3r.files import digest
from bench3r.models.catalogue import NETWORKS, NO_BACKBONE
from bench3r.run.config import RunConfig
from bench3r.run.config_sections import Ablation, Grids
from bench3r.run.keys import base_key, digest_once, method_key, shipped_part, stage_hash
from bench3r.run.options import expand_grids
from bench3r.run.plan import TrainEntry
from bench3r.run.records import Json, Options
from bench3r.training.config import TrainData


@dataclass(frozen=True)
class Variant:
    """One method with its options on a backbone, with what it starts from."""

    method: Method
    backbone: str
    seed: int
    base: str | None  # id of the base's training, when the run trains it
    trained: str | None  # id of the method's own training
    unsupported: str  # why it cannot run there, if it cannot

    @property
    def options(self) -> Options:
        """The options of the method, as JSON has them."""
        return self.method.options.model_dump(mode="json")


@dataclass(frozen=True)
class Wanted:
    """What a table asks of one method."""

    grids: Grids  # of options
    where: str  # in the configuration, for errors
    table: str  # "main", or the name of the ablation
    ablation: Ablation | None = None

    def backbones(self, config: RunConfig) -> list[str]:
        """Those that plug-ins run on."""
        return (self.ablation and self.ablation.backbones) or config.backbones

    def frames(self, config: RunConfig) -> list[int]:
        """The frame counts."""
        return (self.ablation and self.ablation.frames) or config.frames

    def timed(self) -> bool:
        """Whether cost is measured."""
        return self.ablation is None or self.ablation.profile


def backbones_of(cls: type[Method], among: list[str], where: str) -> list[str]:
    """Those ``among`` the backbones that ``cls`` runs on; of a whole model its own network, if any.

    Raises Bench3RError where there is none, which would leave the method ``where`` it stands
    without a row, and for a backbone that lacks a hook which the method needs.
    """
    if cls.kind in ("control", "model"):
        return list(cls.backbones or [NO_BACKBONE])
    chosen = [b for b in among if cls.backbones is None or b in cls.backbones]
    if not chosen:
        runs_on = " or ".join(cls.backbones or ())
        raise Bench3RError(
            f"{where}: it runs on {runs_on}, and the backbones are {', '.join(among)}"
        )
    for backbone in chosen:
        lacking = [hook for hook in cls.hooks if hook not in NETWORKS.get(backbone).hooks]
        if lacking:
            problem = f"backbone {backbone} has no {' or '.join(lacking)} hook"
            raise Bench3RError(f"{where}: {problem}")
    return chosen


@dataclass
class Trainings:
    """The trainings that a run needs, each once."""

    config: RunConfig
    entries: dict[str, TrainEntry] = field(default_factory=dict)

    def base(self, backbone: str, seed: int) -> str | None:
        """The id of the base's training; None where the run does not train it."""
        if backbone == NO_BACKBONE or self.config.base_of(backbone) != "train":
            return None
        spec = self._spec(backbone, seed)
        data = _dumped(self.config.training_data(self.config.train, backbone))
        spec |= {"method": None, "options": {}, "base_training": None, "data": data}
        entry = self._entry(spec, backbone, seed)
        entry = entry.model_copy(update={"processes": self.config.train.gpus})
        self.entries[entry.id] = entry
        return entry.id

    def of_method(self, method: Method, backbone: str, seed: int, base: str | None) -> str | None:
        """The id of what ``method`` learns from the base's training ``base``; None for nothing."""
        if not method.needs_training:
            return None
        options = method.training_options()
        settings = self.config.finetune_of(method.name)
        spec = self._spec(backbone, seed)
        spec |= {
            "method": method.name,
            "options": options,
            "base_training": base,
            "plugin": method_key(method.name),
            "fit_scenes": self.config.fit_scenes,
            "finetune": settings.model_dump(mode="json"),
            "data": _dumped(self.config.training_data(settings, backbone)),
            "shipped": self._shipped(method.name, options, backbone),
        }
        entry = self._entry(spec, backbone, seed)
        processes = 1  # of what ships and of closed-form fits
        if isinstance(method, TrainedMethod) and not spec["shipped"]:
            processes = settings.gpus
        own = {"method": method.name, "options": options, "base": base, "processes": processes}
        entry = entry.model_copy(update=own)
        self.entries[entry.id] = entry
        return entry.id

    def _spec(self, backbone: str, seed: int) -> Json:
        return {
            **base_key(self.config, backbone),
            "backbone": backbone,
            "seed": seed,
            "scale": self.config.scale,
            "code": stage_hash("train"),
        }

    def _shipped(self, method: str, options: Options, backbone: str) -> str | None:
        """The hash of the weights that ship for ``method``, where the run takes those that ship."""
        if backbone == NO_BACKBONE or self.config.base_of(backbone) != "shipped":
            return None
        part = shipped_part(method, options, backbone, self.config.scale)
        return digest_once(part) if part else None

    def _entry(self, spec: Json, backbone: str, seed: int) -> TrainEntry:
        key = digest(spec)
        name = spec["method"] or "base"
        return TrainEntry(
            id=f"{name}.{backbone}.{self.config.scale}.s{seed}.{key[:8]}",
            method=None,
            options={},
            backbone=backbone,
            scale=self.config.scale,
            seed=seed,
            base=None,
            key=key,
        )


def _dumped(data: Mapping[str, TrainData]) -> Json:
    return {name: settings.model_dump(mode="json") for name, settings in data.items()}


def variants(
    cls: type[Method], wanted: Wanted, config: RunConfig, trainings: Trainings
) -> Iterator[Variant]:
    """Every variant of ``cls`` that ``wanted`` asks for; what they learn goes to ``trainings``.

    Raises Bench3RError for options that make no sense.
    """
    options = expand_grids(wanted.grids, cls.Options, wanted.where)
    backbones = backbones_of(cls, wanted.backbones(config), wanted.where)
    for option, backbone, seed in itertools.product(options, backbones, config.seeds):
        method = cls(option)
        unsupported = _unsupported(method, backbone, config.scale)
        base = trainings.base(backbone, seed)
        yield Variant(
            method=method,
            backbone=backbone,
            seed=seed,
            base=base,
            trained=trainings.of_method(method, backbone, seed, base),
            unsupported=unsupported,
        )


def _unsupported(method: Method, backbone: str, scale: str) -> str:
    try:
        method.check(backbone, scale)
    except Unsupported as error:
        return str(error)
    return ""
