"""The configuration of a run: one YAML file, every key typed, unknown keys refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.models.catalogue import NO_BACKBONE
from bench3r.training.config import FinetuneConfig, TrainConfig


class Strict(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(Strict):
    """Which scenes and frames of a dataset are used."""

    root: str  # folder, or "procedural"
    scenes: int | Literal["all"] | list[str] = (
        10  # the first n, or names; with a frame list "all" unless given
    )
    frame_list: str | None = (
        None  # a published list (bench3r list --frame-lists); fixed frames want `frames: [0]`
    )
    views: int = Field(8, gt=1)  # frames rendered per procedural scene
    step: int | None = Field(
        None, gt=0
    )  # every step-th frame; None: spread over the whole sequence
    windows: int = Field(
        1, gt=0
    )  # disjoint stretches taken from every sequence, each a scene of its own
    seed: int = Field(0, ge=0)  # of the procedural test scenes
    intrinsics: Literal["exact", "pi3"] = (
        "exact"  # how they follow a resize: right, or as Pi3's released evaluation
    )
    main: bool = True  # whether the main methods run on it; False: only the ablations that name it

    @model_validator(mode="before")
    @classmethod
    def _whole_list(cls, values: Any) -> Any:
        """A frame list is used whole unless scenes are asked for."""
        if isinstance(values, dict) and values.get("frame_list") and "scenes" not in values:
            return {**values, "scenes": "all"}
        return values

    @model_validator(mode="after")
    def _rendered_scenes_are_counted(self) -> DatasetConfig:
        if self.root == "procedural" and (self.scenes == "all" or self.frame_list):
            raise ValueError("procedural scenes have no frame list, and must be counted")
        return self


class ProfileConfig(Strict):
    """How cost is measured (DESIGN: measurement rules)."""

    frames: list[int] = [4]
    warmup: int = Field(2, ge=1)
    repeats: int = Field(10, ge=1)
    seconds: float = Field(
        60, gt=0
    )  # timed work of a setting after which no more calls follow, once there are 3
    scenes: int = Field(3, ge=1)  # inputs: the first scenes of the first dataset, in turn
    largest: int | None = Field(
        None, ge=1
    )  # also search the largest frame count that fits, up to this one


class Limits(Strict):
    """What a worker may use before it is stopped and the scene recorded as timeout or oom."""

    seconds_per_scene: float = Field(600, gt=0)
    memory_gb: float = Field(16, gt=0)


class Keep(Strict):
    """What of a prediction is stored besides depth, poses and intrinsics."""

    depth_conf: bool = True
    world_points: bool = False


Grids = (
    dict[str, Any] | list[dict[str, Any]] | None
)  # options with lists as axes, or several such grids


class Ablation(Strict):
    """A comparison in a table of its own: one method's options with each other, or several methods."""

    method: str | None = None
    options: Grids = None  # of ``method``
    methods: dict[str, Grids] = {}  # several methods, in place of ``method`` and ``options``
    datasets: list[str] | None = None  # some of the run's datasets; None: all
    backbones: list[str] | None = None  # None: the run's
    frames: list[int] | None = None  # some of the run's frame counts; None: all
    profile: bool = True  # whether its settings are timed

    @model_validator(mode="after")
    def _one_or_several(self) -> Ablation:
        if (self.method is None) == (not self.methods) or (
            self.methods and self.options is not None
        ):
            raise ValueError("give either `method` with `options`, or `methods`")
        return self

    def grids(self) -> dict[str, Grids]:
        """Grids of options by method."""
        return self.methods or {str(self.method): self.options}


class RunConfig(Strict):
    """A whole run. Lists among the options of a method are axes: every combination becomes a cell."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    scale: Literal["tiny", "paper", "full"] = "tiny"
    backbones: list[str] = ["vggt"]
    methods: dict[str, Grids]
    ablations: dict[str, Ablation] = {}
    datasets: dict[str, DatasetConfig]
    frames: list[int] = Field([4], min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    base: str | dict[str, str] = (
        "shipped"  # shipped | train | a file | hub:REPOSITORY@REVISION; or one by backbone
    )
    points: Literal["depth_camera", "point_head"] = "depth_camera"
    protocols: list[str] = [
        "pi3_pointmap",
        "depth_median",
        "relpose_pi3",
        "trajectory_evo",
        "fscore",
        "regions",
        "recursion",
    ]
    only: dict[str, list[str]] = {}  # protocols that score some datasets only, and those datasets
    train: TrainConfig = TrainConfig()  # of the base, when the run trains it
    finetune: FinetuneConfig = FinetuneConfig()  # of the methods that need it
    profile: ProfileConfig = ProfileConfig()
    limits: Limits = Limits()
    keep: Keep = Keep()
    fit_scenes: int = Field(90, gt=0)  # training scenes that fitted methods (trivial) see
    smoke: bool = False  # every cell of this configuration, with one scene and two training steps

    def protocols_for(self, dataset: str) -> list[str]:
        """The protocols under which ``dataset`` is scored."""
        return [p for p in self.protocols if dataset in self.only.get(p, [dataset])]

    def base_of(self, backbone: str) -> str:
        """Where the weights of ``backbone`` come from. Raises Bench3RError when `base` has no entry for it."""
        if isinstance(self.base, str):
            return self.base
        if backbone not in self.base:
            raise Bench3RError(
                f"config: base has no entry for backbone {backbone} (it has {', '.join(self.base)})"
            )
        return self.base[backbone]

    def sees(self, backbone: str) -> str:
        """The network whose usual images a cell of ``backbone`` gets: its own; controls get those of the first backbone."""
        return self.backbones[0] if backbone == NO_BACKBONE else backbone

    @model_validator(mode="after")
    def _smoke(self) -> RunConfig:
        return self.model_copy(update=self._shrunk()) if self.smoke else self

    def _shrunk(self) -> dict[str, Any]:
        """What a smoke run has less of. Procedural datasets keep just the frames that are needed."""
        few = {
            "steps": 2,
            "warmup": 1,
            "frames_per_batch": 2,
            "view_counts": (2,),
            "queries": 4,
            "workers": 0,
        }
        datasets = {
            name: d.model_copy(
                update={
                    "scenes": 1 if isinstance(d.scenes, int) else d.scenes[:1],
                    "windows": 1,
                    "views": max(2, *self.frames),
                }
            )
            for name, d in self.datasets.items()
        }
        return {
            "datasets": datasets,
            "train": self.train.model_copy(update=few),
            "fit_scenes": 3,
            "seeds": self.seeds[:1],
            "finetune": self.finetune.model_copy(update=few),
            "profile": self.profile.model_copy(update={"warmup": 1, "repeats": 1, "scenes": 1}),
        }


def parse_config(raw: Any, where: str) -> RunConfig:
    """Validate a parsed configuration. Raises Bench3RError that names the key, with the closest known one."""
    if not isinstance(raw, dict):
        raise Bench3RError(f"{where}: expected a mapping of keys, got {type(raw).__name__}")
    known = [*RunConfig.model_fields, *DatasetConfig.model_fields, *TrainConfig.model_fields]
    known += [
        *ProfileConfig.model_fields,
        *Limits.model_fields,
        *Keep.model_fields,
        *Ablation.model_fields,
    ]
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        raise describe(error, where, known) from error
    listed = any(
        d.frame_list for d in config.datasets.values()
    )  # then 0 frames are as many as a list says
    for key, values, least in (
        ("frames", config.frames, 1 - listed),
        ("profile.frames", config.profile.frames, 1),
    ):
        if min(values) < least:
            raise Bench3RError(
                f"{where}: {key}: every frame count must be at least 1, got {min(values)}"
            )
    if not config.methods:
        raise Bench3RError(f"{where}: methods: at least one method is needed")
    for name, datasets in config.only.items():
        if name not in config.protocols:
            raise unknown("protocol", name, config.protocols, f"{where}: only")
        for dataset in datasets:
            if dataset not in config.datasets:
                raise unknown("dataset", dataset, config.datasets, f"{where}: only.{name}")
    for name, ablation in config.ablations.items():
        for dataset in ablation.datasets or ():
            if dataset not in config.datasets:
                raise unknown(
                    "dataset", dataset, config.datasets, f"{where}: ablations.{name}.datasets"
                )
        for frames in ablation.frames or ():
            if frames not in config.frames:
                raise Bench3RError(
                    f"{where}: ablations.{name}.frames: {frames} is none of the run's frames {config.frames}"
                )
    return config


def read_config(path: Path) -> dict[str, Any]:
    """Parsed YAML. Raises Bench3RError with file and line of a syntax error."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: no such configuration file") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise Bench3RError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


def load_config(path: Path) -> RunConfig:
    """Read and validate a configuration file."""
    return parse_config(read_config(path), str(path))
