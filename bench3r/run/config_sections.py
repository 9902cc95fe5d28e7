"""The sections of a configuration: datasets, cost measurements, limits, ablations. All typed."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from bench3r.measure.rungs import Rung

MAIN = "main"  # the table of the methods; an ablation cannot be called so
T = TypeVar("T")


def _each_once(values: list[T]) -> list[T]:
    """``values``, if none stands twice: the second would add nothing, unseen."""
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value!r} stands twice")
    return values


Several = Annotated[list[T], Field(min_length=1), AfterValidator(_each_once)]
Each = Annotated[list[T], AfterValidator(_each_once)]


class Strict(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(Strict):
    """Which scenes and frames of a dataset are used."""

    root: str  # folder, or "procedural"
    # The first n, or names; with a frame list "all" unless given.
    scenes: Annotated[int, Field(ge=1)] | Literal["all"] | Several[str] = 10
    # A published list (bench3r list --frame-lists); one that fixes frames needs `frames: [0]`.
    frame_list: str | None = None
    views: int = Field(8, gt=1)  # frames rendered per procedural scene
    # Every step-th frame; None: spread over the whole sequence.
    step: int | None = Field(None, gt=0)
    # Disjoint stretches taken from every sequence, each a scene of its own.
    windows: int = Field(1, gt=0)
    seed: int = Field(0, ge=0)  # of the procedural test scenes
    # How intrinsics follow a resize: right, or as Pi3's released evaluation.
    intrinsics: Literal["exact", "pi3"] = "exact"
    main: bool = True  # whether the main methods run on it; False: only the ablations that name it

    @model_validator(mode="before")
    @classmethod
    def _whole_list(cls, values: object) -> object:
        """A frame list is used whole unless scenes are asked for."""
        if isinstance(values, dict) and values.get("frame_list") and "scenes" not in values:
            return {**values, "scenes": "all"}
        return values

    @property
    def is_real(self) -> bool:
        """Whether its scenes are read from a data root, and not rendered."""
        return self.root != "procedural"

    def shrunk(self, views: int) -> DatasetConfig:
        """The same with one scene of ``views`` frames."""
        scenes = 1 if isinstance(self.scenes, int) else self.scenes[:1]
        return self.model_copy(update={"scenes": scenes, "windows": 1, "views": views})

    @model_validator(mode="after")
    def _rendered_scenes_are_counted(self) -> DatasetConfig:
        if self.root == "procedural" and (self.scenes == "all" or self.frame_list):
            raise ValueError("procedural scenes have no frame list, and must be counted")
        return self


class ProfileConfig(Strict):
    """How cost is measured (DESIGN: measurement rules)."""

    frames: Several[int] = [4]
    warmup: int = Field(2, ge=1)
    repeats: int = Field(10, ge=1)
    # Timed work of a setting after which no more calls follow, once there are 3.
    seconds: float = Field(60, gt=0)
    scenes: int = Field(3, ge=1)  # inputs: the first scenes of the first dataset, in turn
    # Ways to run the unchanged backbone, each timed in turn with the run's own: what a plain cast
    # or torch.compile gives (bench3r/measure/rungs.py says what each means).
    ladder: Each[Rung] = []
    # Most frames at which a rung is measured, where it takes too long beyond.
    ladder_most: dict[Rung, int] = {}
    # Also search the maximum frame count, up to this one.
    largest: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _limits_are_of_rungs(self) -> ProfileConfig:
        strange = sorted(self.ladder_most.keys() - set(self.ladder))
        if strange:
            raise ValueError(f"ladder_most: {', '.join(strange)} not in the ladder")
        return self

    def why_left_out(self, rung: Rung, frames: int) -> str:
        """Why ``rung`` is not measured at ``frames``; "" when it is."""
        most = self.ladder_most.get(rung, frames)
        return "" if frames <= most else f"not asked for above {most:,} frames (ladder_most)"


class Limits(Strict):
    """What a worker may use before it is stopped and the scene recorded as timeout or oom."""

    seconds_per_scene: float = Field(600, gt=0)
    memory_gb: float = Field(16, gt=0)


class Keep(Strict):
    """What of a prediction is stored besides depth, poses and intrinsics."""

    depth_conf: bool = True
    world_points: bool = False


Grid = dict[str, JsonValue]  # options by name; a list of values is an axis
Grids = Grid | list[Grid] | None  # one grid, or several


class Ablation(Strict):
    """A comparison in a table of its own: one method's options, or several methods."""

    method: str | None = None
    options: Grids = None  # of ``method``
    methods: dict[str, Grids] = {}  # several methods, in place of ``method`` and ``options``
    datasets: Several[str] | None = None  # some of the run's datasets; None: all
    backbones: Several[str] | None = None  # None: the run's
    frames: Several[int] | None = None  # some of the run's frame counts; None: all
    profile: bool = True  # whether its settings are timed

    @model_validator(mode="after")
    def _one_or_several(self) -> Ablation:
        one = self.method is not None
        if one == bool(self.methods) or (self.methods and self.options is not None):
            raise ValueError("give either `method` with `options`, or `methods`")
        return self

    def grids(self) -> dict[str, Grids]:
        """Grids of options by method."""
        return self.methods or {str(self.method): self.options}
