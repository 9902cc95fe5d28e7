"""Early exit: the trunk stops after one of a few late pairs, when more would change little.

No early exit for VGGT is published, so SpatialMoR's baseline row has to be defined: scene-level
exits in the lineage of BranchyNet and CALM. Outputs of pairs that did not run are recovered by a
linear map fitted in closed form; nothing is trained by gradient. Criteria:

- ``change``: relative change of z-depth (or pose) decoded at consecutive exits, parameter-free;
- ``saturation``: 1 - mean cosine between the tokens of the last two pairs, no head evaluated;
- ``learned``: a linear probe of the tokens predicts the exit's log error, with a conformal margin.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
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
from bench3r.recursion.exits import (
    ErrorProbe,
    pose_change,
    probe_features,
    relative_change,
    token_change,
)
from bench3r.recursion.recovery import Recovery, fit_recoveries

EIGHTHS = (4, 5, 6, 7)  # of the trunk: the usual exits
HELD_OUT = 3  # every third training scene calibrates instead of fitting
ALL_VIEWS = 10_000


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
    probe_views: int = Field(
        1, ge=1, description="change: views whose z-depth is decoded at an exit"
    )
    margin: float = Field(
        0.1, gt=0, lt=1, description="learned: error rate of the conformal margin"
    )

    @field_validator("exits")
    @classmethod
    def _ascending(cls, exits: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if exits is None:
            return None
        ascending = all(a < b for a, b in itertools.pairwise(exits))
        if not exits or exits[0] < 1 or not ascending:
            raise ValueError(f"exits must be ascending numbers of pairs from 1, got {exits}")
        return exits

    def at(self, pairs: int) -> tuple[int, ...]:
        """The exits of a trunk of ``pairs``."""
        if self.exits is not None:
            return self.exits
        usual = {max(1, round(pairs * eighths / 8)) for eighths in EIGHTHS}
        return tuple(sorted(usual - {pairs}))


class Decoder:
    """Z-depth or pose of an exit, by the heads of the model, which owns them."""

    def __init__(self, model: Any, measure: Literal["depth", "pose"], views: int) -> None:
        self.model = model
        self.measure = measure
        self.views = views

    def __call__(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        """Z-depth [B, V, H, W] of the first views, or poses [B, S, 3, 4], of taps [B, S, T, 2C]."""
        if self.measure == "pose":
            return self.model.poses({t: x.float() for t, x in taps.items()}, layout)
        return self.model.depths({t: x[:, : self.views].float() for t, x in taps.items()}, layout)

    def change(self, now: Tensor, before: Tensor) -> Tensor:
        """How far two decoded results are apart, per scene [B]."""
        return pose_change(now, before) if self.measure == "pose" else relative_change(now, before)


@dataclass
class Pass:
    """One forward pass up to the pair that ran last."""

    inputs: TrunkInput
    taps: dict[int, Tensor] = field(default_factory=dict)  # outputs [B, S, T, 2C] of tapped pairs
    values: list[float] = field(default_factory=list)  # the criterion at each exit that had one
    evidence: list[Tensor] = field(default_factory=list)  # what was computed to decide
    decoded: Tensor | None = None  # at the last exit, where the criterion decodes

    def output(self, pairs: int) -> TrunkOutput:
        """What the schedule returns after ``pairs``."""
        return TrunkOutput(
            self.taps,
            facts={"exit_layer": pairs, "criterion": self.values},
            extras={"decided_by": self.evidence},
        )


class ExitSchedule(Schedule):
    """Runs pairs until an exit is taken. A batch leaves together, when its last scene would."""

    threshold: Tensor

    def __init__(self, model: Any, exits: tuple[int, ...], options: Options) -> None:
        super().__init__()
        self.exits = exits
        self.options = options
        self.decoder = Decoder(model, options.measure, options.probe_views)
        self.recoveries = nn.ModuleDict()
        for run, tap in recovered(exits, model.taps):
            self.recoveries[f"{run}_{tap}"] = Recovery(model.width, model.trunk.special)
        self.register_buffer("threshold", torch.tensor(options.threshold or 0.0))
        if options.criterion == "learned":
            self.probes = nn.ModuleDict({str(run): nn.Linear(4 * model.width, 1) for run in exits})

    def taps_at(
        self, pairs: int, output: Tensor, taps: dict[int, Tensor], wanted: tuple[int, ...]
    ) -> dict[int, Tensor]:
        """The taps ``wanted`` as if the trunk ended after ``pairs``, each [B, S, T, 2C].

        Those in ``taps`` ran; the others are recovered from the last pair's ``output``.
        """
        found = {}
        for tap in wanted:
            found[tap] = taps[tap] if tap in taps else self.recoveries[f"{pairs}_{tap}"](output)
        return found

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        state = Pass(inputs)
        x = inputs.tokens
        for i in range(trunk.depth):
            entered = x
            after_frame = trunk.frame(i, x, inputs)
            x = trunk.global_(i, after_frame, inputs)
            output = torch.cat([after_frame, x], -1)
            if i in inputs.taps:
                state.taps[i] = inputs.store(output)
            if i + 1 in self.exits and self.leaves(i + 1, entered, output, state):
                state.taps = self.taps_at(i + 1, output, state.taps, inputs.taps)
                return state.output(i + 1)
        return state.output(trunk.depth)

    def leaves(self, pairs: int, entered: Tensor, output: Tensor, state: Pass) -> bool:
        """Whether the exit after ``pairs`` is taken.

        The last pair made ``output`` [B, S, T, 2C] of the tokens ``entered`` [B, S, T, C].
        """
        value = self.judge(pairs, entered, output, state)
        if value is None:
            return False
        most = value.max().to(self.threshold.dtype)
        largest, threshold = torch.stack([most, self.threshold]).tolist()  # one wait
        state.values.append(largest)
        return bool(largest < threshold)

    def judge(self, pairs: int, entered: Tensor, output: Tensor, state: Pass) -> Tensor | None:
        """The criterion per scene [B]; None: there is nothing to compare with yet.

        Arguments as of :meth:`leaves`.
        """
        if self.options.criterion == "change":
            return self._change(pairs, output, state)
        if self.options.criterion == "saturation":
            value = token_change(output[..., entered.shape[-1] :], entered)
        else:
            features = probe_features(output, state.inputs.layout.special)
            value = self.probes[str(pairs)](features).squeeze(-1).exp()
        state.evidence.append(value)
        return value

    def _change(self, pairs: int, output: Tensor, state: Pass) -> Tensor | None:
        inputs = state.inputs
        # the camera head reads the last tap alone
        read = inputs.taps if self.options.measure == "depth" else inputs.taps[-1:]
        now = self.decoder(self.taps_at(pairs, output, state.taps, read), inputs.layout)
        before = state.decoded
        state.decoded = now
        value = None if before is None else self.decoder.change(now, before)
        state.evidence += [now] if value is None else [value, now]
        return value


def recovered(exits: tuple[int, ...], taps: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs run and tap, for every exit and every tap whose pair has not run there."""
    return [(run, tap) for run, tap in itertools.product(exits, taps) if tap >= run]


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
        """Refuse exits that the trunk does not have.

        Raises Bench3RError for those, and for criterion change with less than two exits.
        """
        pairs = trunk_pairs(backbone, scale)
        exits = self.options.at(pairs)
        if exits[-1] >= pairs:
            raise Bench3RError(
                f"early_exit: exit after pair {exits[-1]}, but {backbone} at scale {scale} "
                f"has {pairs} pairs: expected fewer"
            )
        if self.options.criterion == "change" and len(exits) < 2:
            raise Bench3RError(
                "early_exit: criterion change compares consecutive exits and needs at least two"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        """Of the scenes that reach an exit a share ``exit_share`` leaves there, as calibrated.

        Criterion change compares two exits, so that the first is never taken, and decodes at each.
        """
        share = self.options.exit_share
        change = self.options.criterion == "change"
        parts = {**unchanged.with_pairs(0), "recoveries": 0.0, "criterion": 0.0}
        reached = 1.0
        for place, run in enumerate([*self.options.at(unchanged.pairs), unchanged.pairs]):
            last = run == unchanged.pairs
            taken = 1.0 if last else share * (not change or place > 0)
            leaving = reached * taken
            ran = unchanged.with_pairs(run)
            for block in ("frame_blocks", "global_blocks"):
                parts[block] += leaving * ran[block]
            missing = sum(tap >= run for tap in unchanged.taps)
            decoded = reached if change and not last else 0.0
            parts["recoveries"] += (leaving + decoded) * missing * unchanged.recovery
            if decoded:
                parts["criterion"] += decoded * self._decoding(unchanged)
            reached -= leaving
        return Cost(parts, f"a share {share:g} of the scenes that reach an exit leave there")

    def _decoding(self, unchanged: BackboneCost) -> float:
        """MACs of what criterion change decodes at an exit."""
        if self.options.measure == "pose":
            return unchanged.parts["camera_head"]
        return unchanged.depth_head * min(self.options.probe_views, unchanged.frames)

    def apply(self, model: Any) -> None:
        model.schedule = ExitSchedule(model, self.options.at(model.trunk.depth), self.options)

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """Recoveries, then the probes where they are asked for, then the threshold.

        Returns the schedule's parameters by name: maps [2C, 2C] of special tokens and patches,
        probes [1, 4C], the threshold []. Raises Bench3RError without training scenes.
        """
        images = [scene_images(s, context.device) for s in scenes]
        model = load_backbone(context)
        exits = self.options.at(model.trunk.depth)
        wanted = [(run - 1, tap) for run, tap in recovered(exits, model.taps)]
        state: dict[str, Tensor] = {}
        for (pair, tap), part in fit_recoveries(model, images, wanted).items():
            state |= {f"recoveries.{pair + 1}_{tap}.{name}": value for name, value in part.items()}
        self.apply(model)
        schedule = model.schedule.to(context.device)
        schedule.load_state_dict({**schedule.state_dict(), **state})
        learned = self.options.criterion == "learned"
        values = self._fit_probes(model.to(context.device), images) if learned else None
        if self.options.threshold is None:
            if values is None:
                values = self._criterion_values(model, images)
            schedule.threshold.fill_(float(torch.tensor(values).quantile(self.options.exit_share)))
        return {f"schedule.{name}": value for name, value in schedule.state_dict().items()}

    @torch.no_grad()
    def _criterion_values(self, model: Any, images: list[Tensor]) -> list[float]:
        """The criterion at every exit of every scene, with no exit taken."""
        model.schedule.threshold.fill_(0.0)
        values: list[float] = []
        for picture in images:
            values += model.run_trunk(picture)[0].facts["criterion"]
        return values

    @torch.no_grad()
    def _fit_probes(self, model: Any, images: list[Tensor]) -> list[float]:
        """Probes of the log error of each exit against the whole trunk; returns all errors."""
        schedule = model.schedule
        decoder = Decoder(model, "depth", ALL_VIEWS)
        probes = {run: ErrorProbe(4 * model.width) for run in schedule.exits}
        errors: list[float] = []
        model.schedule = Schedule()
        for number, picture in enumerate(images):
            out, layout = model.run_trunk(picture, keep_all=True)
            final = decoder({tap: out.taps[tap] for tap in model.taps}, layout)
            for run, probe in probes.items():
                output = out.taps[run - 1]
                ran = {tap: out.taps[tap] for tap in model.taps if tap < run}
                depth = decoder(schedule.taps_at(run, output, ran, model.taps), layout)
                error = relative_change(depth, final)
                errors += error.tolist()
                features = probe_features(output, layout.special)
                probe.add(features, error, hold_out=number % HELD_OUT == 0)
        model.schedule = schedule
        for run, probe in probes.items():
            weight, bias = probe.solve(self.options.margin)
            layer: Any = schedule.probes[str(run)]
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return errors
