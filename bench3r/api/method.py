"""What a method is: the contract of a file in ``methods/``.

A plug-in overrides :meth:`Method.apply` and changes a backbone through its hooks. A whole model or a control overrides
:meth:`Method.build`. Everything else (weights, timing, records, tables) is done for it.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Unsupported
from bench3r.api.presentation import Fact, MethodSection, Reported
from bench3r.api.registry import ROOT, Registry, subclass_of

if TYPE_CHECKING:
    import torch

    from bench3r.api.reconstruction import Reconstruction
    from bench3r.api.scene import SceneData

Condition = Literal["intrinsics", "poses", "ground_truth"]


class MethodOptions(BaseModel):
    """Typed settings of a method; unknown keys are refused. Subclass it and give every field a default."""

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


@runtime_checkable
class CountedPredictor(Protocol):
    """A predictor whose MACs can be counted."""

    def counted(self, images: torch.Tensor) -> torch.nn.Module:
        """The part that is counted, a function of ``images`` [1, S, 3, H, W] alone that returns tensors."""


# Turns images [1, S, 3, H, W] in [0, 1], on the device already, into a reconstruction. Besides them it is told what the
# method declares in ``conditions_on``, by name, and nothing else.
Predictor = Callable[..., "Reconstruction"]


class Method(ABC):
    """Base of all methods. Class attributes describe it; an instance holds its options."""

    name: ClassVar[str]
    label: ClassVar[str]  # as printed in tables
    kind: ClassVar[Literal["backbone", "plugin", "model", "control"]] = "plugin"
    backbones: ClassVar[tuple[str, ...] | None] = (
        None  # None: every one (plug-ins); of a model its own network, if any
    )
    hooks: ClassVar[
        tuple[str, ...]
    ] = ()  # what a backbone must let it change: "schedule", "attention"
    source: ClassVar[str] = ""  # paper or URL
    conditions_on: ClassVar[
        tuple[Condition, ...]
    ] = ()  # what it is told besides images; ground truth: controls alone
    untrained_options: ClassVar[
        tuple[str, ...]
    ] = ()  # options that do not change what the train stage learns
    adapts_depth: ClassVar[bool] = False  # whether it spends fewer blocks on some inputs or patches
    depth_control: ClassVar[bool] = (
        False  # whether it is the plainly shallower model that those have to beat
    )
    facts: ClassVar[tuple[Fact, ...]] = ()  # what it records of every scene
    sections: ClassVar[tuple[MethodSection, ...]] = ()  # tables and figures of its own
    reported: ClassVar[tuple[Reported, ...]] = ()  # its paper's own numbers
    Options: ClassVar[type[MethodOptions]] = MethodOptions

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def check(self, backbone: str, scale: str) -> None:  # noqa: B027 - optional to override
        """Called at planning, before anything runs.

        Raises Unsupported when the method cannot run on ``backbone`` at ``scale`` (the cells are shown as such), and
        Bench3RError for options that make no sense there (planning stops).
        """

    def apply(self, model: Any) -> None:  # noqa: B027 - optional to override
        """Change ``model`` in place through its hooks; the default leaves it as it is."""

    def deploy(self, model: Any) -> dict[str, Any]:
        """Last change of ``model``, after all weights are loaded: how they are stored. Returns facts for the records."""
        return {}

    def build(self, context: BuildContext) -> Predictor | None:
        """The predictor of a whole model or a control; None: the backbone with its weights, changed by :meth:`apply`."""
        return None

    def fit(
        self, scenes: Iterator[SceneData], context: BuildContext
    ) -> dict[str, torch.Tensor] | None:
        """Tensors learned from training scenes, saved by the train stage; None when there is nothing to learn."""
        return None

    def cost(self, unchanged: BackboneCost) -> Cost | None:
        """MACs at any size, from those of the unchanged backbone; None when they cannot be said without running."""
        return Cost(unchanged.parts) if self.kind == "backbone" else None

    def training_options(self) -> dict[str, Any]:
        """The options as the train stage sees them: those that do not matter to it at their defaults."""
        defaults = type(self.options)().model_dump(mode="json")
        own = self.options.model_dump(mode="json")
        return {k: defaults[k] if k in self.untrained_options else v for k, v in own.items()}

    @property
    def needs_training(self) -> bool:
        """Whether the train stage has to run for this method."""
        return type(self).fit is not Method.fit or isinstance(self, TrainedMethod)


class TrainedMethod(Method):
    """A plug-in whose changed backbone is fine-tuned from the base's weights (setting ``finetune``) before it is compared.

    Its schedule may hand extra losses to the trainer (``TrunkOutput.losses``) and follow the training
    (``Schedule.set_progress``).
    """

    def calibrate(self, model: Any, images: torch.Tensor) -> None:
        """Set what needs example ``images`` [B, S, 3, H, W] before fine-tuning starts (scales of new norms, ...)."""

    def prepare_training(self, model: Any) -> None:
        """Change ``model`` for training only: simulated quantisation, for example. Parameter names must stay."""

    def teacher_weight(self, progress: float) -> float | None:
        """Weight of the distillation of attention outputs from the unchanged backbone at ``progress`` (0 to 1) of the
        training; None: there is no teacher."""
        return None


METHODS: Registry[type[Method]] = Registry(
    "method", ROOT / "methods", "bench3r_methods", subclass_of(Method)
)


def cost_of(method: Method, unchanged: BackboneCost) -> Cost:
    """MACs of ``method`` on the backbone and scene of ``unchanged``. Raises Unsupported when it has no closed form."""
    found = method.cost(unchanged)
    if found is None:
        raise Unsupported(
            f"{method.name} has no closed form: count it by running it (bench3r profile)"
        )
    return found


def conditions_of(method: type[Method] | Method, scene: SceneData) -> dict[str, Any]:
    """What a predictor of ``method`` is told of ``scene`` besides its images: only what the method declares."""
    known: dict[Condition, Any] = {
        "intrinsics": scene.intrinsics,
        "poses": scene.c2w,
        "ground_truth": scene,
    }
    return {name: known[name] for name in method.conditions_on}
