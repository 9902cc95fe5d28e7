"""Layer skip: an interval of early pairs is bypassed, its output replaced by a linear map.

The map is fitted in closed form; nothing is trained by gradient. Early layers of this model family
are the redundant ones ("Does the VGGT family need all its layers?", 2026), so this is the natural
counterpart of early exit, which removes late ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, MethodOptions
from bench3r.api.scene import SceneData
from bench3r.models.backbones import load_backbone
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.preprocess import scene_images
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput
from bench3r.recursion.recovery import Recovery, fit_recoveries


class Options(MethodOptions):
    """Which pairs are bypassed."""

    start: int | None = Field(
        None, ge=1, description="first bypassed pair (from 0); None: after an eighth of the trunk"
    )
    count: int | None = Field(
        None, ge=1, description="bypassed pairs; None: a quarter of the trunk"
    )

    def interval(self, pairs: int) -> range:
        """The bypassed pairs of a trunk of ``pairs``."""
        start = self.start if self.start is not None else max(1, pairs // 8)
        count = self.count if self.count is not None else max(1, pairs // 4)
        return range(start, start + count)


def recovered(taps: tuple[int, ...], skipped: range) -> list[int]:
    """Bypassed pairs whose outputs are needed, ascending: tapped ones and the last."""
    return sorted({tap for tap in taps if tap in skipped} | {skipped[-1]})


class SkipSchedule(Schedule):
    """Every pair outside the interval, on every token; inside it only the recoveries of tapped
    outputs.
    """

    def __init__(self, model: Any, skipped: range) -> None:
        super().__init__()
        self.skipped = skipped
        self.recoveries = nn.ModuleDict()
        for pair in recovered(model.taps, skipped):
            self.recoveries[str(pair)] = Recovery(model.width, model.trunk.special)

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        x = inputs.take()
        taps: dict[int, Tensor] = {}
        last: Tensor | None = None  # output [B, S, T, 2C] of the last pair before the interval
        for i in range(trunk.depth):
            if i not in self.skipped:
                x = after_frame = trunk.frame(i, x, inputs)
                x = trunk.global_(i, after_frame, inputs)
                output = torch.cat([after_frame, x], -1)
                if i < self.skipped.start:
                    last = output
            elif str(i) in self.recoveries:
                output = self.recoveries[str(i)](last)
                x = output[..., x.shape[-1] :]
            else:
                continue
            if i in inputs.taps:
                taps[i] = inputs.store(output)
        return TrunkOutput(taps, facts={"skipped_pairs": list(self.skipped)})


class LayerSkip(Method):
    """Bypass of early pairs with closed-form linear recovery; no training."""

    name = "layer_skip"
    label = "layer skip"
    hooks = ("schedule",)
    adapts_depth = True
    source = "after 'Does the VGGT family need all its layers?', 2026"
    Options = Options

    def check(self, backbone: str, scale: str) -> None:
        """Raises Bench3RError unless pairs remain after the interval: the camera head reads the
        last.
        """
        pairs = trunk_pairs(backbone, scale)
        skipped = self.options.interval(pairs)
        if skipped.stop >= pairs:
            raise Bench3RError(
                f"layer_skip: pairs {skipped.start} to {skipped.stop - 1} bypassed, but {backbone} "
                f"at scale {scale} has pairs 0 to {pairs - 1}, and the camera head reads the last"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        skipped = self.options.interval(unchanged.pairs)
        parts = unchanged.with_pairs(unchanged.pairs - len(skipped))
        parts["recoveries"] = len(recovered(unchanged.taps, skipped)) * unchanged.recovery
        return Cost(parts)

    def apply(self, model: Any) -> None:
        skipped = self.options.interval(model.trunk.depth)
        model.schedule = SkipSchedule(model, skipped)
        frame = list(model.trunk.frame_blocks)
        global_ = list(model.trunk.global_blocks)
        for pair in skipped:  # bypassed blocks are no part of this model
            frame[pair] = nn.Identity()
            global_[pair] = nn.Identity()
        model.trunk.replace_blocks(frame, global_)

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """The recoveries' maps [2C, 2C] by name, from the unchanged backbone on training scenes.

        Raises Bench3RError without scenes.
        """
        model = load_backbone(context)
        skipped = self.options.interval(model.trunk.depth)
        wanted = [(skipped.start - 1, pair) for pair in recovered(model.taps, skipped)]
        images = (scene_images(s, context.device) for s in scenes)
        state: dict[str, Tensor] = {}
        for (_, pair), part in fit_recoveries(model, images, wanted).items():
            state |= {f"schedule.recoveries.{pair}.{name}": value for name, value in part.items()}
        return state
