"""Early exit: the trunk stops after one of a few late pairs, when a criterion says that more would change little.

No published early exit for VGGT exists, so SpatialMoR's baseline row has to be defined: scene-level exits in the lineage
of BranchyNet and CALM. Outputs of pairs that did not run are recovered by a linear map fitted in closed form; nothing is
trained by gradient. Criteria:

- ``change``: relative change of the depth (or pose) decoded at consecutive exits, parameter-free;
- ``saturation``: 1 - mean cosine between the tokens of the last two pairs, no head evaluated;
- ``learned``: a linear probe of the tokens predicts the exit's log error, with a conformal margin.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, MethodOptions
from bench3r.api.presentation import Fact
from bench3r.api.scene import SceneData
from bench3r.models.backbones import load_backbone
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.layers import TokenLayout
from bench3r.models.preprocess import scene_images
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput
from bench3r.recursion.recovery import AffineStatistics, Recovery, fit_recoveries

PROBE_RIDGE = 1e-2  # of the learned criterion: few scenes, many features
HELD_OUT = 3  # every third training scene calibrates instead of fitting


class Options(MethodOptions):
    """Where and when the trunk may stop."""

    exits: tuple[int, ...] | None = Field(
        None, description="pairs run at each exit; None: 1/2, 5/8, 3/4, 7/8 of the trunk"
    )
    criterion: Literal["change", "saturation", "learned"] = "change"
    measure: Literal["depth", "pose"] = Field(
        "depth", description="change: what is compared between exits"
    )
    threshold: float | None = Field(
        None, gt=0, description="None: calibrated so that `exit_share` of exits are taken"
    )
    exit_share: float = Field(
        0.5, gt=0, le=1, description="share of the criterion's values on training scenes below it"
    )
    probe_views: int = Field(1, ge=1, description="change: views whose depth is decoded at an exit")
    margin: float = Field(
        0.1, gt=0, lt=1, description="learned: error rate of the conformal margin"
    )

    @field_validator("exits")
    @classmethod
    def _ascending(cls, exits: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if exits is not None and (
            not exits or exits[0] < 1 or any(b <= a for a, b in itertools.pairwise(exits))
        ):
            raise ValueError(f"exits must be ascending numbers of pairs from 1, got {exits}")
        return exits

    def at(self, pairs: int) -> tuple[int, ...]:
        """The exits of a trunk of ``pairs``."""
        if self.exits is not None:
            return self.exits
        return tuple(
            sorted({max(1, round(pairs * eighths / 8)) for eighths in (4, 5, 6, 7)} - {pairs})
        )


def relative_change(now: Tensor, before: Tensor) -> Tensor:
    """Mean |now - s before| / median(now) per scene [B] of depths [B, ...], with the best scale s."""
    a, b = now.flatten(1), before.flatten(1)
    scale = (a * b).sum(1) / b.square().sum(1).clamp(min=1e-12)
    return (a - scale[:, None] * b).abs().mean(1) / a.median(1).values.clamp(min=1e-12)


def pose_change(now: Tensor, before: Tensor) -> Tensor:
    """Largest angle in radians per scene [B] between rotations and translation directions of poses [B, S, 3, 4]."""
    turn = now[..., :3] @ before[..., :3].mT
    cosine = (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    direction = F.cosine_similarity(now[:, 1:, :, 3], before[:, 1:, :, 3], dim=-1)
    angles = torch.cat([cosine, direction], 1).clamp(-1, 1).acos()
    return angles.amax(1)


def probe_features(output: Tensor, special: int) -> Tensor:
    """Camera token and mean patch, averaged over views: [B, 4C] from a pair's output [B, S, T, 2C]."""
    return torch.cat([output[:, :, 0].mean(1), output[:, :, special:].mean((1, 2))], -1)


class Decoder:
    """Depth or pose of an exit, by the model's own heads. Not a module: the heads belong to the model."""

    def __init__(self, model: Any, options: Options) -> None:
        self.model, self.options = model, options

    def __call__(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        """Depth [B, V, H, W] of the first views, or poses [B, S, 3, 4]."""
        if self.options.measure == "pose":
            return self.model.poses({t: x.float() for t, x in taps.items()}, layout)
        some = {t: x[:, : self.options.probe_views].float() for t, x in taps.items()}
        return self.model.depths(some, layout)

    def change(self, now: Tensor, before: Tensor) -> Tensor:
        """The criterion's value per scene [B]."""
        return (pose_change if self.options.measure == "pose" else relative_change)(now, before)


class ExitSchedule(Schedule):
    """Runs pairs until an exit is taken. A batch leaves together, when its last scene would."""

    threshold: Tensor

    def __init__(self, model: Any, exits: tuple[int, ...], options: Options) -> None:
        super().__init__()
        self.exits, self.options = exits, options
        self._decoder = (
            Decoder(model, options),
        )  # in a tuple, so that the heads are not registered twice
        special, width = model.trunk.special, model.width
        self.recoveries = nn.ModuleDict(
            {f"{b}_{t}": Recovery(width, special) for b in exits for t in model.taps if t >= b}
        )
        self.register_buffer("threshold", torch.tensor(options.threshold or 0.0))
        if options.criterion == "learned":
            self.probes = nn.ModuleDict({str(b): nn.Linear(4 * width, 1) for b in exits})

    def taps_at(
        self, pairs: int, output: Tensor, taps: dict[int, Tensor], wanted: tuple[int, ...]
    ) -> dict[int, Tensor]:
        """The tapped outputs as if the trunk ended after ``pairs``: those that ran, the others recovered."""
        return {
            t: taps[t] if t in taps else self.recoveries[f"{pairs}_{t}"](output) for t in wanted
        }

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        x, taps, decoded = inputs.tokens, {}, None
        values: list[float] = []
        evidence: list[Tensor] = []
        for i in range(trunk.depth):
            entered, after_frame = x, trunk.frame(i, x, inputs)
            x = trunk.global_(i, after_frame, inputs)
            output = torch.cat([after_frame, x], -1)
            if i in inputs.taps:
                taps[i] = output
            if i + 1 not in self.exits:
                continue
            value, decoded = self.judge(i + 1, entered, output, taps, inputs, decoded)
            evidence += [t for t in (value, decoded) if t is not None]
            if value is not None:
                values.append(float(value.max()))
                if bool((value < self.threshold).all()):
                    taps = self.taps_at(i + 1, output, taps, inputs.taps)
                    return self.output(taps, i + 1, values, evidence)
        return self.output(taps, trunk.depth, values, evidence)

    def output(
        self, taps: dict[int, Tensor], exit_layer: int, values: list[float], evidence: list[Tensor]
    ) -> TrunkOutput:
        """What the record will say: pairs run, the criterion's value at each exit that had one."""
        return TrunkOutput(
            taps, extras={"exit_layer": exit_layer, "criterion": values, "decided_by": evidence}
        )

    def judge(
        self,
        pairs: int,
        entered: Tensor,
        output: Tensor,
        taps: dict[int, Tensor],
        inputs: TrunkInput,
        before: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Criterion per scene [B] after ``pairs`` (None: nothing to compare with yet) and what was decoded there."""
        layout = inputs.layout
        if self.options.criterion == "saturation":
            return 1 - F.cosine_similarity(entered, output[..., entered.shape[-1] :], dim=-1).mean(
                (1, 2)
            ), None
        if self.options.criterion == "learned":
            return self.probes[str(pairs)](probe_features(output, layout.special)).squeeze(
                -1
            ).exp(), None
        read = (
            inputs.taps if self.options.measure == "depth" else inputs.taps[-1:]
        )  # the camera head reads the last
        now = self._decoder[0](self.taps_at(pairs, output, taps, read), layout)
        return (None if before is None else self._decoder[0].change(now, before)), now


class EarlyExit(Method):
    """Scene-level exits after late pairs, with closed-form recovery of what did not run."""

    name = "early_exit"
    label = "early exit"
    hooks = ("schedule",)
    source = "defined here, after BranchyNet (2016) and CALM (2022)"
    Options = Options
    adapts_depth = True
    facts = (Fact("exit_layer", "frame/global pairs that ran", "pairs"),)

    def check(self, backbone: str, scale: str) -> None:
        pairs, exits = trunk_pairs(backbone, scale), self.options.at(trunk_pairs(backbone, scale))
        if exits[-1] >= pairs:
            raise Bench3RError(
                f"early_exit: exit after pair {exits[-1]}, but {backbone} at scale {scale} has {pairs} pairs: expected fewer"
            )
        if self.options.criterion == "change" and len(exits) < 2:
            raise Bench3RError(
                "early_exit: criterion change compares consecutive exits and needs at least two"
            )

    def cost(self, dense: BackboneCost) -> Cost:
        """With a share ``exit_share`` of the scenes that reach an exit leaving there, as the threshold is calibrated."""
        o, exits = self.options, self.options.at(dense.pairs)
        change = (
            o.criterion == "change"
        )  # compares two exits, so the first is never taken, and decodes at each
        reached, parts = 1.0, {**dense.with_pairs(0), "recoveries": 0.0, "criterion": 0.0}
        for place, run in enumerate([*exits, dense.pairs]):
            last = run == dense.pairs
            leaving = reached if last else reached * o.exit_share * (not change or place > 0)
            ran = dense.with_pairs(run)
            for block in ("frame_blocks", "global_blocks"):
                parts[block] += leaving * ran[block]
            missing = sum(t >= run for t in dense.taps)
            decoded = reached if change and not last else 0.0
            parts["recoveries"] += (leaving + decoded) * missing * dense.recovery
            if change and o.measure == "depth":
                parts["criterion"] += decoded * dense.depth_head * min(o.probe_views, dense.frames)
            elif change:
                parts["criterion"] += decoded * dense.parts["camera_head"]
            reached -= leaving
        return Cost(parts, f"a share {o.exit_share:g} of the scenes that reach an exit leave there")

    def apply(self, model: Any) -> None:
        model.schedule = ExitSchedule(model, self.options.at(model.trunk.depth), self.options)

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """Recoveries, then the probes where they are asked for, then the threshold."""
        images = [scene_images(s, context.device) for s in scenes]
        model = load_backbone(context)
        exits = self.options.at(model.trunk.depth)
        wanted = [(b - 1, t) for b in exits for t in model.taps if t >= b]
        learned = fit_recoveries(model, images, wanted)
        self.apply(model)
        schedule = model.schedule
        state = {
            f"recoveries.{a + 1}_{t}.{k}": v
            for (a, t), part in learned.items()
            for k, v in part.items()
        }
        schedule.load_state_dict({**schedule.state_dict(), **state})
        if self.options.criterion == "learned":
            errors = self._fit_probes(model.to(context.device), images)
        if self.options.threshold is None:
            values = errors if self.options.criterion == "learned" else self._values(model, images)
            schedule.threshold.fill_(float(torch.tensor(values).quantile(self.options.exit_share)))
        return {f"schedule.{k}": v for k, v in schedule.state_dict().items()}

    @torch.no_grad()
    def _values(self, model: Any, images: list[Tensor]) -> list[float]:
        """The criterion at every exit of every scene, with no exit taken."""
        model.schedule.threshold.fill_(0.0)
        found = [model.run_trunk(i)[0].extras["criterion"] for i in images]
        return [v for row in found for v in row]

    @torch.no_grad()
    def _fit_probes(self, model: Any, images: list[Tensor]) -> list[float]:
        """Ridge probes of the log error of each exit against the whole trunk; returns all true errors."""
        schedule, width = model.schedule, model.width
        decoder, errors = Decoder(model, Options(measure="depth", probe_views=10_000)), []
        plain = Schedule()
        statistics = {b: AffineStatistics(4 * width, 1) for b in schedule.exits}
        held: dict[int, list[tuple[Tensor, Tensor]]] = {b: [] for b in schedule.exits}
        for number, picture in enumerate(images):
            model.schedule = plain
            out, layout = model.run_trunk(picture, keep_all=True)
            kept = {t: out.taps[t] for t in model.taps}
            final = decoder(kept, layout)
            for b in schedule.exits:
                taps = schedule.taps_at(
                    b, out.taps[b - 1], {t: x for t, x in kept.items() if t < b}, model.taps
                )
                error = relative_change(decoder(taps, layout), final)
                errors += error.tolist()
                row = (
                    probe_features(out.taps[b - 1], layout.special),
                    error.clamp(min=1e-6).log()[:, None],
                )
                held[b].append(row) if number % HELD_OUT == 0 else statistics[b].add(*row)
        model.schedule = schedule
        for b in schedule.exits:
            weight, bias = statistics[b].solve(PROBE_RIDGE)
            misses = torch.cat(
                [y - (x.cpu() @ weight.mT + bias).to(y) for x, y in held[b]]
            ).flatten()
            probe: Any = schedule.probes[str(b)]
            probe.weight.copy_(weight)
            probe.bias.copy_(bias + float(misses.quantile(1 - self.options.margin)))
        return errors
