"""The configuration of a run: one YAML file, every key typed, unknown keys refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.files import read_yaml
from bench3r.models.catalogue import NO_BACKBONE, reference_backbone
from bench3r.run.config_sections import (
    MAIN,
    Ablation,
    DatasetConfig,
    Grids,
    Keep,
    Limits,
    ProfileConfig,
    Several,
    Strict,
)
from bench3r.training.config import FinetuneConfig, TrainConfig, TrainData

PUBLISHED_SCALE = "full"  # the scale at which weights are published
OWN_WEIGHTS = ("shipped", "train")  # bases that are not published ones


class RunConfig(Strict):
    """A whole run.

    Lists among the options of a method are axes: every combination becomes a cell.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    scale: Literal["tiny", "paper", "full"] = "tiny"
    backbones: Several[str] = Field(default_factory=lambda: [reference_backbone()])
    methods: dict[str, Grids]
    ablations: dict[str, Ablation] = {}
    datasets: dict[str, DatasetConfig]
    frames: Several[int] = [4]
    seeds: Several[int] = [0]
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    # Keep what heads read in pinned memory of the host: less memory of a GPU, more time.
    offload_taps: bool = False
    # shipped | train | a file | hub:REPOSITORY@REVISION; or one by backbone.
    base: str | dict[str, str] = "shipped"
    points: Literal["depth_camera", "point_head"] = "depth_camera"
    protocols: Several[str] = [
        "pi3_pointmap",
        "depth_median",
        "relpose_pi3",
        "trajectory_evo",
        "fscore",
        "regions",
        "recursion",
    ]
    only: dict[
        str, Several[str]
    ] = {}  # protocols that score some datasets only, and those datasets
    train: TrainConfig = TrainConfig()  # of the base, when the run trains it
    finetune: FinetuneConfig = FinetuneConfig()  # of the methods that need it
    # by method: what its own recipe changes of `finetune`
    finetune_by_method: dict[str, FinetuneConfig] = {}
    profile: ProfileConfig = ProfileConfig()
    limits: Limits = Limits()
    keep: Keep = Keep()
    fit_scenes: int = Field(90, gt=0)  # training scenes that fitted methods (trivial) see
    smoke: bool = False  # every cell of this configuration, with one scene and two training steps

    def protocols_for(self, dataset: str) -> list[str]:
        """The protocols under which ``dataset`` is scored."""
        return [p for p in self.protocols if dataset in self.only.get(p, [dataset])]

    def finetune_of(self, method: str) -> FinetuneConfig:
        """How ``method`` is fine-tuned: by its own recipe, or as all others."""
        return self.finetune_by_method.get(method, self.finetune)

    def training_data(self, settings: TrainConfig, backbone: str) -> dict[str, TrainData]:
        """The real data that training under ``settings`` sees, by dataset; none: procedural scenes.

        Raises Bench3RError when a dataset has no root, and when published weights would be trained
        on procedural scenes without being asked to.
        """
        if settings.data == "procedural":
            return {}
        if settings.data:
            return {name: self._rooted(name, data) for name, data in settings.data.items()}
        if self.scale != PUBLISHED_SCALE:
            return {}
        real = {n: TrainData(root=d.root) for n, d in self.datasets.items() if d.is_real}
        own = backbone == NO_BACKBONE or self.base_of(backbone) in OWN_WEIGHTS
        if not real and not own:
            raise Bench3RError(
                f"config: the published weights of {backbone} would be fine-tuned on procedural "
                "scenes: name real data in finetune.data, or set finetune.data: procedural"
            )
        return real

    def _rooted(self, name: str, data: TrainData) -> TrainData:
        """``data`` with its root, which may be that of the run's dataset ``name``."""
        if data.root is not None:
            return data
        known = self.datasets.get(name)
        if known is None or not known.is_real:
            raise Bench3RError(f"config: the training data {name} need a root")
        return data.model_copy(update={"root": known.root})

    def base_of(self, backbone: str) -> str:
        """Where the weights of ``backbone`` come from.

        Raises Bench3RError when `base` has no entry for it.
        """
        if isinstance(self.base, str):
            return self.base
        if backbone not in self.base:
            known = ", ".join(self.base)
            raise Bench3RError(
                f"config: base has no entry for backbone {backbone} (it has {known})"
            )
        return self.base[backbone]

    def sees(self, backbone: str) -> str:
        """The network whose usual images a cell of ``backbone`` gets.

        It is its own; controls get the images of the first backbone.
        """
        return self.backbones[0] if backbone == NO_BACKBONE else backbone

    @model_validator(mode="before")
    @classmethod
    def _recipes(cls, values: object) -> object:
        """A method's own recipe holds what it changes; the rest is that of all others."""
        if not isinstance(values, dict) or not isinstance(values.get("finetune_by_method"), dict):
            return values
        common = values.get("finetune") or {}
        if isinstance(common, BaseModel):
            common = common.model_dump()
        recipes = {}
        for method, own in values["finetune_by_method"].items():
            recipes[method] = {**common, **own} if isinstance(own, dict) else own
        return {**values, "finetune_by_method": recipes}

    @model_validator(mode="after")
    def _smoke(self) -> RunConfig:
        return self._shrunk() if self.smoke else self

    def _shrunk(self) -> RunConfig:
        """What a smoke run does. Procedural datasets keep just the frames that are needed."""
        few = {
            "steps": 2,
            "warmup": 1,
            "frames_per_batch": 2,
            "view_counts": (2,),
            "queries": 4,
            "workers": 0,
        }
        once = {"warmup": 1, "repeats": 1, "scenes": 1}
        views = max(2, *self.frames)
        recipes = {m: r.model_copy(update=few) for m, r in self.finetune_by_method.items()}
        return self.model_copy(
            update={
                "datasets": {name: d.shrunk(views) for name, d in self.datasets.items()},
                "train": self.train.model_copy(update=few),
                "fit_scenes": 3,
                "seeds": self.seeds[:1],
                "finetune": self.finetune.model_copy(update=few),
                "finetune_by_method": recipes,
                "profile": self.profile.model_copy(update=once),
            }
        )


SECTIONS = (RunConfig, DatasetConfig, TrainConfig, TrainData, ProfileConfig, Limits, Keep, Ablation)


def parse_config(raw: object, where: str) -> RunConfig:
    """Validate a parsed configuration.

    Raises Bench3RError that names the key, with the closest known one.
    """
    if not isinstance(raw, dict):
        raise Bench3RError(f"{where}: expected a mapping of keys, got {type(raw).__name__}")
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        known = [key for section in SECTIONS for key in section.model_fields]
        raise describe(error, where, known) from error
    if not config.methods:
        raise Bench3RError(f"{where}: methods: at least one method is needed")
    _check_datasets(config, where)
    _check_frames(config, where)
    _check_protocols(config, where)
    _check_recipes(config, where)
    for name, ablation in config.ablations.items():
        if name == MAIN:
            raise Bench3RError(f"{where}: ablations.{name}: this is the table of `methods`")
        _check_ablation(config, ablation, f"{where}: ablations.{name}")
    return config


def _check_datasets(config: RunConfig, where: str) -> None:
    """There is a dataset, and one that the main methods run on."""
    if not config.datasets:
        raise Bench3RError(f"{where}: datasets: at least one dataset is needed")
    if not any(dataset.main for dataset in config.datasets.values()):
        problem = "main is false for all, so that the methods run on none"
        raise Bench3RError(f"{where}: datasets: {problem}")


def _check_recipes(config: RunConfig, where: str) -> None:
    """Recipes are those of methods of the run."""
    used = set(config.methods)
    for ablation in config.ablations.values():
        used |= set(ablation.grids())
    for name in config.finetune_by_method:
        if name not in used:
            raise unknown("method of the run", name, used, f"{where}: finetune_by_method")


def _check_frames(config: RunConfig, where: str) -> None:
    """Frame counts are at least 1; 0 stands for as many as a frame list says."""
    listed = any(d.frame_list for d in config.datasets.values())
    if min(config.frames) < (0 if listed else 1):
        raise _too_few(f"{where}: frames", config.frames)
    if min(config.profile.frames) < 1:
        raise _too_few(f"{where}: profile.frames", config.profile.frames)


def _too_few(where: str, frames: list[int]) -> Bench3RError:
    return Bench3RError(f"{where}: every frame count must be at least 1, got {min(frames)}")


def _check_protocols(config: RunConfig, where: str) -> None:
    """The setting `only` names protocols and datasets of the run."""
    for name, datasets in config.only.items():
        if name not in config.protocols:
            raise unknown("protocol", name, config.protocols, f"{where}: only")
        for dataset in datasets:
            if dataset not in config.datasets:
                raise unknown("dataset", dataset, config.datasets, f"{where}: only.{name}")


def _check_ablation(config: RunConfig, ablation: Ablation, where: str) -> None:
    """An ablation names datasets and frame counts of the run."""
    for dataset in ablation.datasets or ():
        if dataset not in config.datasets:
            raise unknown("dataset", dataset, config.datasets, f"{where}.datasets")
    for frames in ablation.frames or ():
        if frames not in config.frames:
            problem = f"{frames} is none of the run's frames {config.frames}"
            raise Bench3RError(f"{where}.frames: {problem}")


def read_config(path: Path) -> object:
    """Parsed YAML. Raises Bench3RError with file and line of a mistake or a repeated key."""
    if not path.exists():
        raise Bench3RError(f"{path}: no such configuration file")
    return read_yaml(path)


def load_config(path: Path) -> RunConfig:
    """Read and validate a configuration file. Raises Bench3RError as :func:`parse_config` does."""
    return parse_config(read_config(path), str(path))
