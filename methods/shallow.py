"""Plainly shallower VGGT: the first pairs of the trunk only, fine-tuned exactly as long as the adaptive methods.

The control that every adaptive method has to beat at equal cost. With all pairs it is the backbone itself with the
same fine-tuning, which tells what the fine-tuning alone does.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput


class Options(MethodOptions):
    """How much of the trunk is kept."""

    quarters: int = Field(3, ge=1, le=4, description="quarters of the trunk's pairs that are kept")


class ShallowSchedule(Schedule):
    """The first pairs, on every token; taps keep their place, those of missing pairs repeat the last output."""

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        x = inputs.tokens
        taps: dict[int, torch.Tensor] = {}
        for i in range(self.kept):
            after_frame = trunk.frame(i, x, inputs)
            x = trunk.global_(i, after_frame, inputs)
            output = torch.cat([after_frame, x], -1)
            taps |= {t: output for t in inputs.taps if t == i or (t > i and i == self.kept - 1)}
        return TrunkOutput(taps)


class Shallow(TrainedMethod):
    """The first quarters of the trunk, fine-tuned."""

    name = "shallow"
    label = "shallower VGGT"
    hooks = ("schedule",)
    depth_control = True
    Options = Options

    def check(self, backbone: str, scale: str) -> None:
        pairs = trunk_pairs(backbone, scale)
        if pairs * self.options.quarters % 4:
            raise Bench3RError(
                f"shallow: {self.options.quarters} quarters of {pairs} pairs is no whole number of pairs"
            )

    def cost(self, dense: BackboneCost) -> Cost:
        return Cost(dense.with_pairs(dense.pairs * self.options.quarters // 4))

    def apply(self, model: Any) -> None:
        kept = model.trunk.depth * self.options.quarters // 4
        model.schedule = ShallowSchedule(kept)
        model.trunk.replace_blocks(
            model.trunk.frame_blocks[:kept], model.trunk.global_blocks[:kept]
        )
