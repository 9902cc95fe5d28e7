"""What a method is: the contract of a file in ``methods/``.

A plug-in overrides :meth:`Method.apply` and changes a backbone through its hooks. A whole model or
a control overrides :meth:`Method.build`. Everything else (weights, timing, records, tables) is done
for it.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.presentation import Fact, Facts, MethodSection, Reported
from bench3r.api.registry import ROOT, Registry, subclass_of

if TYPE_CHECKING:
    import torch

    from bench3r.api.reconstruction import Reconstruction
    from bench3r.api.scene import SceneData

Condition = Literal["intrinsics", "poses", "ground_truth"]


class MethodOptions(BaseModel):
    """Typed settings of a method; unknown keys are refused.

    Subclass it and give every field a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class BuildContext:
    """What a method may build from."""

    backbone: str
    scale: str
    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: Path | None = None  # None: random weights (profiling only)
    fitted: Path | None = None  # what the train stage produced for this method
    seed: int = 0
    offload_taps: bool = False  # keep what heads read in pinned memory of the host


@runtime_checkable
class CountedPredictor(Protocol):
    """A predictor whose MACs can be counted."""

    def counted(self, images: torch.Tensor) -> torch.nn.Module:
        """The part that is counted.

        A function of ``images`` [1, S, 3, H, W] alone that returns tensors.
        """


# Turns images [1, S, 3, H, W] in [0, 1], on the device already, into a reconstruction. Besides them
# it is told what the method declares in ``conditions_on``, by name, and nothing else.
Predictor = Callable[..., "Reconstruction"]


def check_conditions(method: type[Method] | Method) -> None:
    """Called when a method is defined, and again before it is told anything of a scene.

    Raises Bench3RError for an unknown condition, and for ground truth declared by what is no
    control.
    """
    name = method.__name__ if isinstance(method, type) else type(method).__name__
    for condition in method.conditions_on:
        if condition not in get_args(Condition):
            expected = ", ".join(get_args(Condition))
            raise Bench3RError(f"{name}.conditions_on names {condition!r}, expected {expected}")
    if "ground_truth" in method.conditions_on and method.kind != "control":
        raise Bench3RError(
            f"{name}.conditions_on names ground_truth, but its kind is {method.kind!r}: "
            "controls alone are told the ground truth"
        )


class Method(ABC):
    """Base of all methods. Class attributes describe it; an instance holds its options."""

    name: ClassVar[str]
    label: ClassVar[str]  # as printed in tables
    kind: ClassVar[Literal["backbone", "plugin", "model", "control"]] = "plugin"
    # None: every one (plug-ins); of a model its own network, if any
    backbones: ClassVar[tuple[str, ...] | None] = None
    # what a backbone must let it change: "schedule", "attention"
    hooks: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str] = ""  # paper or URL
    # what it is told besides images; ground truth: controls alone
    conditions_on: ClassVar[tuple[Condition, ...]] = ()
    # options that do not change what the train stage learns
    untrained_options: ClassVar[tuple[str, ...]] = ()
    adapts_depth: ClassVar[bool] = False  # whether it spends fewer blocks on some inputs or patches
    # whether it is the plainly shallower model that those have to beat
    depth_control: ClassVar[bool] = False
    facts: ClassVar[tuple[Fact, ...]] = ()  # what it records of every scene
    sections: ClassVar[tuple[MethodSection, ...]] = ()  # tables and figures of its own
    reported: ClassVar[tuple[Reported, ...]] = ()  # its paper's own numbers
    Options: ClassVar[type[MethodOptions]] = MethodOptions

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        check_conditions(cls)

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def check(self, backbone: str, scale: str) -> None:  # noqa: B027 - optional to override
        """Called at planning, before anything runs.

        Raises Unsupported when the method cannot run on ``backbone`` at ``scale`` (the cells are
        shown as such), and Bench3RError for options that make no sense there (planning stops).
        """

    def apply(self, model: Any) -> None:  # noqa: B027 - optional to override
        """Change ``model`` in place through its hooks; the default leaves it as it is."""

    def deploy(self, model: Any) -> Facts:
        """Last change of ``model``, after all weights are loaded: how they are stored.

        Returns facts for the records.
        """
        return {}

    def without_fp8(self) -> Method | None:
        """The same method with nothing in FP8, with the same trained part, to be timed beside it.

        None for a method that has nothing in FP8.
        """
        return None

    def build(self, context: BuildContext) -> Predictor | None:
        """The predictor of a whole model or a control.

        None: the backbone with its weights, changed by :meth:`apply`.
        """
        return None

    def fit(
        self, scenes: Iterator[SceneData], context: BuildContext
    ) -> dict[str, torch.Tensor] | None:
        """Tensors [...] learned from training scenes; the train stage saves them by name.

        None when there is nothing to learn.
        """
        return None

    def fit_frames(self, scale: str) -> int | None:
        """Views of a training scene that :meth:`fit` needs at ``scale``.

        None: as many as the run's scenes have, 8 at most.
        """
        return None

    def cost(self, unchanged: BackboneCost) -> Cost | None:
        """MACs at any size, from those of the unchanged backbone.

        None when they cannot be said without running.
        """
        return Cost(unchanged.parts) if self.kind == "backbone" else None

    def training_options(self) -> dict[str, JsonValue]:
        """The options as the train stage sees them: what does not matter to it at its default."""
        defaults = type(self.options)().model_dump(mode="json")
        seen: dict[str, JsonValue] = self.options.model_dump(mode="json")
        for name in seen.keys() & self.untrained_options:
            seen[name] = defaults[name]
        return seen

    @property
    def needs_training(self) -> bool:
        """Whether the train stage has to run for this method."""
        return type(self).fit is not Method.fit or isinstance(self, TrainedMethod)


class TrainedMethod(Method):
    """A plug-in whose changed backbone is fine-tuned from the base's weights before it is compared.

    The run's setting ``finetune`` says how. Its schedule may hand extra losses to the trainer
    (``TrunkOutput.losses``) and follow the training (``Schedule.set_progress``).
    """

    def calibrate(self, model: Any, images: torch.Tensor) -> None:
        """Set what needs example ``images`` [B, S, 3, H, W] before fine-tuning starts.

        Scales of new norms, for example.
        """

    def prepare_training(self, model: Any) -> None:
        """Change ``model`` for training only: simulated quantisation, for example.

        Parameter names must stay.
        """

    def shard_views(self, model: Any) -> Any:
        """Let several processes share the views of every scene in ``model``.

        Returns the :class:`~bench3r.attention.view_shards.ViewShards`. Raises Bench3RError where
        that is impossible.
        """
        raise Bench3RError(f"{self.name}: views cannot be shared by several processes")

    def teacher_weight(self, progress: float) -> float | None:
        """Weight of the distillation of attention outputs from the unchanged backbone.

        At ``progress`` (0 to 1) of the training; None: there is no teacher.
        """
        return None


METHODS: Registry[type[Method]] = Registry(
    "method", ROOT / "methods", "bench3r_methods", subclass_of(Method)
)


def cost_of(method: Method, unchanged: BackboneCost) -> Cost:
    """MACs of ``method`` on the backbone and scene of ``unchanged``.

    Raises Unsupported when it has no closed form.
    """
    found = method.cost(unchanged)
    if found is None:
        raise Unsupported(
            f"{method.name} has no closed form: count it by running it (bench3r profile)"
        )
    return found


def conditions_of(
    method: type[Method] | Method, scene: SceneData
) -> dict[str, np.ndarray | SceneData]:
    """What a predictor of ``method`` is told of ``scene`` besides its images: what it declares.

    Intrinsics [S, 3, 3], poses [S, 4, 4] (camera to world), or all ground truth. Raises
    Bench3RError as :func:`check_conditions`.
    """
    check_conditions(method)
    known: dict[Condition, np.ndarray | SceneData] = {
        "intrinsics": scene.intrinsics,
        "poses": scene.c2w,
        "ground_truth": scene,
    }
    return {name: known[name] for name in method.conditions_on}


def withhold(method: type[Method] | Method, scene: SceneData) -> SceneData:
    """``scene`` without what ``method`` is not told of it: NaN poses and intrinsics, no z-depth.

    This is the scene that a job keeps while the method predicts. Raises Bench3RError as
    :func:`check_conditions`.
    """
    check_conditions(method)
    told = method.conditions_on
    if "ground_truth" in told:
        return scene
    return replace(
        scene,
        intrinsics=scene.intrinsics if "intrinsics" in told else scene.intrinsics * math.nan,
        c2w=scene.c2w if "poses" in told else scene.c2w * math.nan,
        depth=None,
        icp_distance=math.nan,  # follows from the z-depth in datasets of arbitrary unit
    )
