"""Standard Mixture-of-Recursions (Bae et al. 2025) on a trunk of alternating attention.

A shared group of frame/global pairs is applied recursively; a router decides for every patch how
often, from the patch alone. Expert choice: in every recursion the best-scored share of the patches
still alive goes on. Token choice: every patch chooses its recursion depth at the entry. Special
tokens (camera, registers) always go on. Routers, router gates and losses equal the official code's.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from pydantic import Field, model_validator
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.trunk import Trunk, TrunkInput
from bench3r.recursion.cost import assumed_depths, deeper_shares, recursive_parts
from bench3r.recursion.depth import DEPTH_FACTS
from bench3r.recursion.packed import FirstKeyValues, KeyValues, LatestKeyValues, Subset, deeper_than
from bench3r.recursion.routers import (
    Activation,
    ExpertChoice,
    RouterKind,
    RouterSettings,
    TokenChoice,
    capacity_at,
    kept_count,
)
from bench3r.recursion.schedule import RecursiveSchedule, Routing, straight_through
from bench3r.recursion.sharing import Initialisation, Pattern, Sharing

CACHES = {"recursive_sharing": FirstKeyValues, "latest": LatestKeyValues}


class Options(MethodOptions):
    """MoR's settings; defaults are those of the released configurations where they carry over."""

    max_depth: int = Field(4, ge=1, description="recursions that a patch may take at most")
    recursions: int = Field(
        4, ge=1, description="K: recursions that replace the trunk at equal cost"
    )
    routing: Literal["expert_choice", "token_choice"] = "expert_choice"
    sharing: Pattern = "cycle"
    initialisation: Initialisation = "average"
    caching: Literal["recursion_wise", "recursive_sharing", "latest"] = Field(
        "recursion_wise",
        description="keys and values: of active tokens; of the first recursion; each token's last",
    )
    capacity: tuple[float, ...] | None = Field(
        None, description="share of all patches per recursion; None: (N - r) / N"
    )
    gating: Literal["residual", "weighted", "additive"] = Field(
        "residual",
        description="residual: block output, router gate by straight-through; the others as in "
        "the official code",
    )
    router: RouterKind = "linear"
    activation: Activation = Field("sigmoid", description="softmax: token choice only")
    alpha: float = Field(0.1, gt=0, description="factor on the router's activation")
    temperature: float = Field(1.0, gt=0)
    sampling: Literal["aux_loss", "aux_router", "none"] = Field(
        "aux_loss", description="expert choice: what learns top-k"
    )
    aux_weight: float = Field(1e-3, ge=0)
    z_weight: float = Field(1e-5, ge=0)
    balancing: Literal["loss", "loss_free"] = Field("loss", description="token choice")
    balance_weight: float = Field(0.1, ge=0)
    bias_step: float = Field(1e-3, ge=0, description="loss-free balancing: step of the bias")
    capacity_warmup: float = Field(
        0.0, ge=0, le=1, description="share of the fine-tuning over which capacity falls"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        if self.max_depth > self.recursions:
            raise ValueError(f"max_depth {self.max_depth} exceeds recursions {self.recursions}")
        shares = self.capacities
        if len(shares) != self.max_depth:
            raise ValueError(
                f"capacity has {len(shares)} entries, expected one for each of "
                f"{self.max_depth} recursions"
            )
        growing = list(shares) != sorted(shares, reverse=True)
        if growing or any(not 0 < share <= 1 for share in shares):
            raise ValueError(
                "capacity must be in (0, 1] and must not grow from one recursion to the next, "
                f"got {shares}"
            )
        if self.keys_of_all and shares[0] != 1:
            raise ValueError(
                f"caching {self.caching} needs every patch in the first recursion: "
                "capacity[0] must be 1"
            )
        if self.routing == "expert_choice" and self.activation == "softmax":
            raise ValueError(
                "activation softmax is for token_choice; expert choice has one logit a patch"
            )
        return self

    @property
    def capacities(self) -> tuple[float, ...]:
        """Share of all patches that each recursion takes."""
        if self.capacity:
            return self.capacity
        return tuple(left / self.max_depth for left in range(self.max_depth, 0, -1))

    @property
    def keys_of_all(self) -> bool:
        """Whether active patches attend to every patch, or to the active ones alone."""
        return self.caching != "recursion_wise"

    @property
    def router_settings(self) -> RouterSettings:
        """What the routers are told."""
        return RouterSettings(
            kind=self.router,
            activation=self.activation,
            alpha=self.alpha,
            temperature=self.temperature,
            auxiliary=self.sampling == "aux_router",
            bias_step=self.bias_step,
        )


class MoRSchedule(RecursiveSchedule):
    """The recursive schedule with MoR's routers and caches."""

    def __init__(self, trunk: Trunk, dim: int, sharing: Sharing, options: Options) -> None:
        super().__init__(trunk, sharing, options.max_depth, options.initialisation)
        self.options = options
        self.progress = 1.0  # of the fine-tuning
        self.keys_of_all = options.keys_of_all
        if options.routing == "expert_choice":
            settings = [options.router_settings] * options.max_depth
            self.routers = nn.ModuleList(ExpertChoice(dim, one) for one in settings)
        else:
            self.router = TokenChoice(dim, options.max_depth, options.router_settings)

    def set_progress(self, model: nn.Module, progress: float) -> None:
        self.progress = progress
        if self.options.routing == "token_choice" and self.options.balancing == "loss_free":
            if dist.is_initialized() and self.router.last_ratio is not None:
                dist.all_reduce(self.router.last_ratio)  # all processes move it alike
                self.router.last_ratio /= dist.get_world_size()
            self.router.move_bias()

    def route(self, inputs: TrunkInput) -> Routing:
        layout = inputs.layout
        shape = (layout.batch, layout.views, layout.height, layout.width)
        facts = {"routing": self.options.routing}
        if self.options.routing == "expert_choice":
            nothing = torch.zeros(shape, dtype=torch.int64, device=inputs.tokens.device)
            return Routing(nothing, self.max_depth, facts=facts)
        patches = inputs.tokens[:, :, layout.special :]
        logits, probabilities = self.router.probabilities(patches)  # [B, S, P, depths]
        chosen, gate = self.router.choose(probabilities)
        routing = Routing(chosen.view(shape) + 1, self.max_depth, facts=facts, gate=gate.flatten())
        routing.entered = inputs.tokens.flatten(0, 2)
        if self.training:
            parts = self.router.losses(logits, probabilities, chosen)
            if self.options.balancing == "loss":
                routing.losses["balance"] = self.options.balance_weight * parts["balancing_loss"]
            routing.losses["router_z"] = self.options.z_weight * parts["z_loss"]
        return routing

    def select(self, routing: Routing, recursion: int, x: Tensor, before: Subset) -> Subset:
        layout = before.layout
        if self.options.routing == "token_choice":
            return deeper_than(routing.depth, recursion, layout)
        router: Any = self.routers[recursion]
        patches = before.index[before.patches]
        alive = x[patches].unflatten(0, (layout.batch, -1))  # [B, n, C]: equally many of each scene
        logits = router.logits(alive)
        wanted = kept_count(self._capacity(recursion), routing.depth[0].numel())
        kept = router.keep(logits, min(wanted, alive.shape[1]))
        if self.training:
            self._add_losses(routing, router.losses(alive, logits, kept))
        routing.gates[recursion] = router.gate(logits).gather(1, kept).flatten()
        index = patches.unflatten(0, (layout.batch, -1)).gather(1, kept).flatten()
        special = before.index[~before.patches]
        taken = Subset(torch.cat([special, index]).sort().values, layout)
        depth = routing.depth.flatten().index_fill(0, taken.patch_index, recursion + 1)
        routing.depth = depth.view_as(routing.depth)
        return taken

    def _capacity(self, recursion: int) -> float:
        """Share of all patches that ``recursion`` takes now."""
        share = self.options.capacities[recursion]
        if not self.training or not self.options.capacity_warmup:
            return share
        return capacity_at(share, self.progress / self.options.capacity_warmup)

    def _add_losses(self, routing: Routing, parts: dict[str, Tensor]) -> None:
        if self.options.sampling != "none":
            aux = self.options.aux_weight * parts["aux_loss"]
            routing.losses["router_aux"] = routing.losses.get("router_aux", 0) + aux
        if "z_loss" in parts:
            z = self.options.z_weight * parts["z_loss"]
            routing.losses["router_z"] = routing.losses.get("router_z", 0) + z

    def combine(
        self, routing: Routing, recursion: int, active: Subset, before: Tensor, after: Tensor
    ) -> Tensor:
        """Patches as the router gate says, [M, C]; special tokens take the block's output."""
        token_choice = self.options.routing == "token_choice"
        if token_choice:
            assert routing.gate is not None
            scores = routing.gate[active.patch_index]
        else:
            scores = routing.gates[recursion]
        ones = before.new_ones(len(before))
        gate = ones.masked_scatter(active.patches, scores.to(before.dtype))[:, None]
        if self.options.gating == "residual":
            return before + straight_through(gate) * (after - before) if self.training else after
        gated = (gate if self.options.gating == "weighted" else 1) * after
        if not token_choice:
            return torch.where(active.patches[:, None], before + gated, after)
        # token choice: the router gate acts when a patch has taken its last recursion
        assert routing.entered is not None
        ends = routing.depth.flatten()[active.patch_index] == recursion + 1
        last = torch.zeros_like(active.patches).masked_scatter(active.patches, ends)
        return torch.where(last[:, None], routing.entered[active.index] + gated, after)

    def key_values(self, routing: Routing) -> KeyValues | None:
        return CACHES[self.options.caching]() if self.options.keys_of_all else None


class MoR(TrainedMethod):
    """Recursion with per-patch depth from MoR's routers, without spatial context."""

    name = "mor"
    label = "MoR"
    hooks = ("schedule",)
    source = "Bae et al., Mixture-of-Recursions, 2025 (arXiv 2507.10524)"
    Options = Options
    adapts_depth = True
    facts = DEPTH_FACTS

    def check(self, backbone: str, scale: str) -> None:
        """Refuse a trunk that the recursions do not divide. Raises Bench3RError with the
        numbers.
        """
        Sharing(trunk_pairs(backbone, scale), self.options.recursions, self.options.sharing)

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        expert_choice = options.routing == "expert_choice"
        depths, assumed = assumed_depths(unchanged)
        if expert_choice:  # capacities say what every recursion takes
            active = list(options.capacities)
            scored = 1.0 + sum(active[:-1])
            assumed = ""
        else:
            active = deeper_shares(depths, options.max_depth)
            scored = float(options.max_depth)
        parts = recursive_parts(
            unchanged,
            Sharing(unchanged.pairs, options.recursions, options.sharing),
            active,
            keys_of_all=options.keys_of_all,
            keys_once=options.caching == "recursive_sharing",
        )
        dim = unchanged.dim
        router = dim if options.router == "linear" else 2 * dim * (dim + 1)
        patches = unchanged.tokens - unchanged.special
        parts["routers"] = unchanged.frames * patches * scored * router
        return Cost(parts, assumed)

    def apply(self, model: Any) -> None:
        trunk = model.trunk
        sharing = Sharing(trunk.depth, self.options.recursions, self.options.sharing)
        model.schedule = MoRSchedule(trunk, model.width, sharing, self.options)
