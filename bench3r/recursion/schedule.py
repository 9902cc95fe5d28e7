"""The recursive schedule: a shared group of pairs, applied to patches as often as each needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench3r.api.presentation import FactValue
from bench3r.models.layers import Block
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput
from bench3r.recursion.depth import statistics
from bench3r.recursion.packed import KeyValues, Subset, everything, flat_rope, run_block, scatter
from bench3r.recursion.sharing import Initialisation, Sharing, Step, tie


@dataclass
class Routing:
    """How one batch is routed. A router that decides step by step fills ``depth`` as it goes."""

    depth: Tensor  # [B, S, h, w] int64, recursions of every patch
    deepest: int  # recursions that run at all
    losses: dict[str, Tensor] = field(default_factory=dict)  # weighted
    facts: Mapping[str, FactValue] = field(default_factory=dict)  # for the record
    gate: Tensor | None = None  # router gate of the routed patches, for the update
    # the same by recursion, of routers that decide step by step: a recursion comes back for every
    # slot where slots are applied in sequence
    gates: dict[int, Tensor] = field(default_factory=dict)
    # state [N, C] before the first recursion, where the update needs it
    entered: Tensor | None = None


def straight_through(score: Tensor) -> Tensor:
    """Ones [...] that carry the gradient of ``score`` [...]."""
    return 1 + score - score.detach()


class RecursiveSchedule(Schedule, ABC):
    """Ties the trunk, runs the recursions, keeps taps and caches.

    Subclasses say how tokens are routed (:meth:`route`), which of them a recursion takes
    (:meth:`select`), how its result is blended in (:meth:`combine`), and which keys and values it
    sees (:meth:`key_values`).
    """

    # whether active tokens attend to every token or to active ones, for the predicted saving
    keys_of_all = False

    def __init__(self, trunk: Trunk, sharing: Sharing, max_depth: int, how: Initialisation) -> None:
        super().__init__()
        self.sharing = sharing
        self.max_depth = max_depth
        frame_blocks = tie(trunk.frame_blocks, sharing, how)
        global_blocks = tie(trunk.global_blocks, sharing, how)
        trunk.replace_blocks(frame_blocks, global_blocks)

    @abstractmethod
    def route(self, inputs: TrunkInput) -> Routing:
        """Decide what can be decided before the first recursion."""

    @abstractmethod
    def select(self, routing: Routing, recursion: int, x: Tensor, before: Subset) -> Subset:
        """The tokens that ``recursion`` takes among those of the one ``before``.

        ``x`` [N, C] is the state of all tokens.
        """

    def enter(self, routing: Routing, recursion: int, x: Tensor, active: Subset) -> Tensor:
        """What a recursion starts from, packed [M, C]; a norm goes here.

        ``x`` [N, C] is the state of all tokens.
        """
        return active.of(x)

    def combine(
        self, routing: Routing, recursion: int, active: Subset, before: Tensor, after: Tensor
    ) -> Tensor:
        """New packed state [M, C] of the ``active`` tokens.

        From their states ``before`` and ``after`` the recursion, [M, C] each.
        """
        return after

    def settle(self, routing: Routing, before: Tensor, after: Tensor) -> Tensor:
        """Last word on the full state (or frame output) ``after`` a recursion [N, C].

        Given the state ``before`` it [N, C].
        """
        return after

    def key_values(self, routing: Routing) -> KeyValues | None:
        """A fresh cache for one block; None: active tokens attend to active tokens."""
        return None

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        return _Run(self, trunk, inputs).output()


class _Run:
    """One forward pass."""

    def __init__(self, schedule: RecursiveSchedule, trunk: Trunk, inputs: TrunkInput) -> None:
        self.schedule = schedule
        self.trunk = trunk
        self.inputs = inputs
        self.rope = {
            "frame": flat_rope(inputs.rope, inputs.layout),
            "global": flat_rope(inputs.global_rope, inputs.layout),
        }
        self.x = inputs.tokens.flatten(0, 2)  # [N, C], every token's latest state
        self.frame = self.x  # every token's latest output of a frame block
        self.all = everything(inputs.layout, self.x.device)
        self.caches: dict[tuple[int, str], KeyValues | None] = {}

    def output(self) -> TrunkOutput:
        """Run all steps."""
        schedule = self.schedule
        inputs = self.inputs
        self.routing = schedule.route(inputs)
        steps = schedule.sharing.steps(self.routing.deepest)
        wanted = schedule.sharing.tap_steps(inputs.taps, self.routing.deepest)
        done = 0
        taps = {}
        self.chosen: dict[int, Subset] = {}
        for recursion, run in groupby(steps, key=lambda s: s.recursion):
            whole = list(run)
            if recursion >= 0:
                self.recur(whole, recursion)
            else:
                self.plain(whole)
            for tap, at in wanted.items():
                if done <= at < done + len(whole):
                    taps[tap] = self.inputs.store(self.tap())
            done += len(whole)
        facts = {**statistics(self.routing.depth, schedule.max_depth), **self.routing.facts}
        return TrunkOutput(taps, self.routing.depth, facts, self.routing.losses)

    def tap(self) -> Tensor:
        """What the heads read: [B, S, T, 2C]."""
        b, s, t, _ = self.inputs.tokens.shape
        return torch.cat([self.frame, self.x], 1).unflatten(0, (b, s, t))

    def block(self, role: str, index: int) -> Block:
        """A block of the tied trunk."""
        blocks = self.trunk.frame_blocks if role == "frame" else self.trunk.global_blocks
        return cast(Block, blocks[index])

    def plain(self, steps: list[Step]) -> None:
        """Unshared pairs, on every token."""
        for step in steps:
            self.frame = self.run("frame", step.block, self.x, self.all)
            self.x = self.run("global", step.block, self.frame, self.all)

    def recur(self, steps: list[Step], recursion: int) -> None:
        """One recursion on the tokens that take it; in the ``sequence`` pattern one slot of it."""
        if recursion not in self.chosen:
            before = self.chosen.get(recursion - 1, self.all)
            self.chosen[recursion] = self.schedule.select(self.routing, recursion, self.x, before)
        active = self.chosen[recursion]
        entered = self.x
        state = self.schedule.enter(self.routing, recursion, entered, active)
        for step in steps:
            frame, state = self.pair(step.block, state, active)
        state = self.schedule.combine(self.routing, recursion, active, active.of(entered), state)
        self.frame = self.schedule.settle(self.routing, entered, scatter(self.frame, active, frame))
        self.x = self.schedule.settle(self.routing, entered, scatter(entered, active, state))

    def pair(self, index: int, state: Tensor, active: Subset) -> tuple[Tensor, Tensor]:
        """Outputs of a shared frame and global block on the packed active tokens."""
        frame = self.run("frame", index, state, active, self.cache(index, "frame"))
        return frame, self.run("global", index, frame, active, self.cache(index, "global"))

    def run(
        self, role: str, index: int, x: Tensor, active: Subset, keep: KeyValues | None = None
    ) -> Tensor:
        """A block of the trunk on the packed ``active`` tokens ``x`` [M, C]."""
        return run_block(self.block(role, index), x, self.rope[role], active, keep)

    def cache(self, block: int, role: str) -> KeyValues | None:
        """The cache of a block, made on first use."""
        if (block, role) not in self.caches:
            self.caches[block, role] = self.schedule.key_values(self.routing)
        return self.caches[block, role]


class RecursionNorm(nn.Module):
    """Layer norm before each recursion, one per recursion.

    A pretrained block expects the scale of its residual stream, so :meth:`calibrate` sets the gain
    to the spread that tokens had before; training moves it from there.
    """

    def __init__(self, dim: int, recursions: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(recursions))

    def forward(self, x: Tensor, recursion: int) -> Tensor:
        """Normalised tokens [M, C]."""
        return self.norms[recursion](x)

    @torch.no_grad()
    def calibrate(self, recursion: int, x: Tensor) -> None:
        """Gain and offset of a recursion from example tokens ``x`` [M, C]."""
        norm: Any = self.norms[recursion]
        spread = x.std(-1, correction=0).mean()
        norm.weight.fill_(float(spread))
        norm.bias.fill_(float(x.mean()))
