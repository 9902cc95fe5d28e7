"""Layer skip: an interval of early pairs is bypassed, its output replaced by a linear map fitted in closed form.

Early layers of this model family are the redundant ones ("Does the VGGT family need all its layers?", 2026), so this
is the natural counterpart of early exit, which removes late ones. Nothing is trained by gradient.
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
        return range(start, start + (self.count if self.count is not None else max(1, pairs // 4)))


class SkipSchedule(Schedule):
    """Every pair outside the interval, on every token; inside it only the recoveries of tapped outputs."""

    def __init__(
        self, trunk: Trunk, width: int, special: int, taps: tuple[int, ...], skipped: range
    ) -> None:
        super().__init__()
        self.skipped = skipped
        needed = [t for t in taps if t in skipped and t != skipped[-1]]
        self.recoveries = nn.ModuleDict(
            {str(t): Recovery(width, special) for t in [*needed, skipped[-1]]}
        )

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        x, taps, last = inputs.tokens, {}, None
        for i in range(trunk.depth):
            if i in self.skipped:
                if str(i) not in self.recoveries:
                    continue
                recovered = self.recoveries[str(i)](last)
                x = recovered[..., x.shape[-1] :]
                output = recovered
            else:
                after_frame = trunk.frame(i, x, inputs)
                x = trunk.global_(i, after_frame, inputs)
                output = last = torch.cat([after_frame, x], -1)
            if i in inputs.taps:
                taps[i] = output
        return TrunkOutput(taps, extras={"skipped_pairs": list(self.skipped)})


class LayerSkip(Method):
    """Bypass of early pairs with closed-form linear recovery; no training."""

    name = "layer_skip"
    label = "layer skip"
    hooks = ("schedule",)
    adapts_depth = True
    source = "after 'Does the VGGT family need all its layers?', 2026"
    Options = Options

    def check(self, backbone: str, scale: str) -> None:
        pairs = trunk_pairs(backbone, scale)
        skipped = self.options.interval(pairs)
        if skipped.stop >= pairs:
            raise Bench3RError(
                f"layer_skip: pairs {skipped.start} to {skipped.stop - 1} bypassed, but {backbone} at scale {scale} "
                f"has pairs 0 to {pairs - 1}, and the camera head reads the last"
            )

    def cost(self, dense: BackboneCost) -> Cost:
        skipped = self.options.interval(dense.pairs)
        recovered = len({t for t in dense.taps if t in skipped} | {skipped[-1]})
        return Cost(
            {
                **dense.with_pairs(dense.pairs - len(skipped)),
                "recoveries": recovered * dense.recovery,
            }
        )

    def apply(self, model: Any) -> None:
        skipped = self.options.interval(model.trunk.depth)
        model.schedule = SkipSchedule(
            model.trunk, model.width, model.trunk.special, model.taps, skipped
        )
        kept = [
            [
                nn.Identity() if i in skipped else block for i, block in enumerate(blocks)
            ]  # no part of this model
            for blocks in (model.trunk.frame_blocks, model.trunk.global_blocks)
        ]
        model.trunk.replace_blocks(*kept)

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """The recoveries, from the unchanged backbone's outputs on training scenes."""
        model = load_backbone(context)
        skipped = self.options.interval(model.trunk.depth)
        targets = sorted({t for t in model.taps if t in skipped} | {skipped[-1]})
        wanted = [(skipped.start - 1, t) for t in targets]
        learned = fit_recoveries(model, (scene_images(s, context.device) for s in scenes), wanted)
        return {
            f"schedule.recoveries.{b}.{k}": v
            for (_, b), state in learned.items()
            for k, v in state.items()
        }
