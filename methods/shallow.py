"""Plainly shallower VGGT: the first pairs of the trunk only.

The control that every adaptive method has to beat at equal cost, fine-tuned exactly as long. With
all pairs it is the backbone itself with the same fine-tuning, which tells what that alone does.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput


class Options(MethodOptions):
    """How much of the trunk is kept."""

    quarters: int = Field(3, ge=1, le=4, description="quarters of the trunk's pairs that are kept")


class ShallowSchedule(Schedule):
    """The first pairs, on every token.

    Taps keep their place; those of missing pairs repeat the last output.
    """

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        x = inputs.take()
        taps: dict[int, Tensor] = {}
        for i in range(self.kept):
            x = after_frame = trunk.frame(i, x, inputs)
            x = trunk.global_(i, after_frame, inputs)
            if i in inputs.taps or i == self.kept - 1:
                taps[i] = inputs.tap(after_frame, x)
        last = taps[self.kept - 1]
        return TrunkOutput({tap: taps.get(tap, last) for tap in inputs.taps})


class Shallow(TrainedMethod):
    """The first quarters of the trunk, fine-tuned."""

    name = "shallow"
    label = "shallower VGGT"
    hooks = ("schedule",)
    depth_control = True
    Options = Options

    def check(self, backbone: str, scale: str) -> None:
        """Raises Bench3RError when the quarters are no whole number of pairs."""
        pairs = trunk_pairs(backbone, scale)
        if pairs * self.options.quarters % 4:
            raise Bench3RError(
                f"shallow: {self.options.quarters} quarters of {pairs} pairs "
                "is no whole number of pairs"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        return Cost(unchanged.with_pairs(unchanged.pairs * self.options.quarters // 4))

    def apply(self, model: Any) -> None:
        trunk = model.trunk
        kept = trunk.depth * self.options.quarters // 4
        model.schedule = ShallowSchedule(kept)
        trunk.replace_blocks(trunk.frame_blocks[:kept], trunk.global_blocks[:kept])
