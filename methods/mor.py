"""Standard Mixture-of-Recursions (Bae et al. 2025) on an alternating-attention trunk: content-blind to space.

A shared group of frame/global pairs is applied recursively; a router decides per patch how often. Expert choice: in
every recursion the best-scored share of the patches still alive goes on. Token choice: every patch chooses its depth at
the entry. Special tokens (camera, registers) always go on. Routers, gates and losses equal the official code's.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.trunk import Trunk, TrunkInput
from bench3r.recursion.cost import assumed_depths, deeper_shares, recursive_parts
from bench3r.recursion.depth import DEPTH_FACTS
from bench3r.recursion.packed import FirstKeyValues, KeyValues, LatestKeyValues, Subset, deeper_than
from bench3r.recursion.schedule import RecursiveSchedule, Routing, straight_through
from bench3r.recursion.sharing import Initialisation, Pattern, Sharing

CACHES = {"recursive_sharing": FirstKeyValues, "latest": LatestKeyValues}
ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "none": lambda x: x}


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
        description="keys and values: of active tokens; of the first recursion; each token's latest",
    )
    capacity: tuple[float, ...] | None = Field(
        None, description="share of all patches per recursion; None: (N - r) / N"
    )
    gating: Literal["residual", "weighted", "additive"] = Field(
        "residual",
        description="residual: block output, gate by straight-through; the others as in the official code",
    )
    router: Literal["linear", "mlp"] = "linear"
    activation: Literal["sigmoid", "tanh", "none", "softmax"] = Field(
        "sigmoid", description="softmax: token choice only"
    )
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
                f"capacity has {len(shares)} entries, expected one for each of {self.max_depth} recursions"
            )
        if any(not 0 < c <= 1 for c in shares) or any(b > a for a, b in itertools.pairwise(shares)):
            raise ValueError(
                f"capacity must be in (0, 1] and must not grow from one recursion to the next, got {shares}"
            )
        if self.caching != "recursion_wise" and shares[0] != 1:
            raise ValueError(
                f"caching {self.caching} needs every patch in the first recursion: capacity[0] must be 1"
            )
        if self.routing == "expert_choice" and self.activation == "softmax":
            raise ValueError(
                "activation softmax is for token_choice; expert choice has one logit a patch"
            )
        return self

    @property
    def capacities(self) -> tuple[float, ...]:
        """Share of all patches that each recursion takes."""
        return self.capacity or tuple(
            (self.max_depth - r) / self.max_depth for r in range(self.max_depth)
        )


class LinearRouter(nn.Module):
    """One linear layer without bias."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.router = nn.Linear(dim, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.router(x)


class MLPRouter(nn.Module):
    """Two linear layers without bias, GELU between, twice as wide inside."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.router = nn.Sequential(
            nn.Linear(dim, 2 * dim, bias=False), nn.GELU(), nn.Linear(2 * dim, out, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.router(x)


ROUTERS = {"linear": LinearRouter, "mlp": MLPRouter}


class ExpertChoice(nn.Module):
    """The router of one recursion: scores the patches that are alive and keeps the best (MoR §2.2.1)."""

    def __init__(self, dim: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.mor_router = ROUTERS[options.router](dim, 1)
        if options.sampling == "aux_router":
            self.mlp_router = ROUTERS[options.router](dim, 1)

    def logits(self, alive: Tensor) -> Tensor:
        """Scores before activation [B, n] of tokens [B, n, C]."""
        return self.mor_router(alive / self.options.temperature).squeeze(-1)

    def gate(self, logits: Tensor) -> Tensor:
        """alpha times the activation."""
        activated = ACTIVATIONS[self.options.activation](logits)
        return activated if self.options.activation == "none" else self.options.alpha * activated

    def keep(self, logits: Tensor, count: int) -> Tensor:
        """Positions [B, count] of the best-scored tokens, ascending, so that their order is kept."""
        return self.gate(logits).topk(count, dim=1, sorted=False).indices.sort(1).values

    def losses(self, alive: Tensor, logits: Tensor, kept: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of membership and its accuracies, none of them weighted; the z loss without an extra router."""
        target = torch.zeros_like(logits).scatter(1, kept, 1.0)
        judged, out = logits, {}
        if self.options.sampling == "aux_router":
            judged = self.mlp_router(alive.detach() / self.options.temperature).squeeze(-1)
            guessed = judged.topk(kept.shape[1], dim=1).indices
            out["topk_acc"] = target.gather(1, guessed).mean()
        else:
            out["z_loss"] = logits.square().mean()
        out["aux_loss"] = F.binary_cross_entropy_with_logits(judged, target)
        out["aux_acc"] = ((judged > 0) == (target > 0.5)).float().mean()
        return out


def capacity_at(capacity: float, progress: float) -> float:
    """Capacity during warm-up: falls from 1 by a half cosine while ``progress`` goes from 0 to 1."""
    falling = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, progress)))))
    return capacity + (1 - capacity) * falling


def kept_count(capacity: float, total: int) -> int:
    """Tokens that a recursion keeps of ``total`` in the original sequence."""
    return max(1, int(capacity * total))


class TokenChoice(nn.Module):
    """The router at the entry: every token chooses how many recursions it takes (MoR §2.2.1)."""

    bias: Tensor

    def __init__(self, dim: int, depths: int, options: Options) -> None:
        super().__init__()
        self.options, self.depths = options, depths
        self.mor_router = ROUTERS[options.router](dim, depths)
        self.register_buffer("bias", torch.zeros(depths))  # moved by loss-free balancing only
        self.last_ratio: Tensor | None = None

    def probabilities(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and activated scores [..., depths] of tokens [..., C]."""
        logits = self.mor_router(x / self.options.temperature)
        activated = (
            logits.softmax(-1) if self.options.activation == "softmax" else torch.sigmoid(logits)
        )
        return logits, self.options.alpha * activated

    def choose(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Depth index (from 0) and gate of every token; the bias moves the choice, not the gate."""
        depth = (probabilities + self.bias).argmax(-1)
        return depth, probabilities.gather(-1, depth[..., None]).squeeze(-1)

    def losses(self, logits: Tensor, probabilities: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Balancing loss, the share of tokens per depth, and the z loss, none of them weighted."""
        ratio = (
            torch.bincount(depth.flatten(), minlength=self.depths).to(probabilities) / depth.numel()
        )
        self.last_ratio = ratio.detach()
        balancing = (probabilities.flatten(0, -2).mean(0) * self.depths * ratio).sum()
        return {
            "balancing_loss": balancing,
            "balancing_ratio": ratio,
            "z_loss": logits.logsumexp(-1).square().mean(),
        }

    @torch.no_grad()
    def move_bias(self) -> None:
        """Loss-free balancing: towards depths that were chosen too rarely, by a fixed step."""
        if self.last_ratio is not None:
            self.bias += self.options.bias_step * torch.sign(
                self.last_ratio.mean() - self.last_ratio
            )


class MoRSchedule(RecursiveSchedule):
    """The recursive schedule with MoR's routers and caches."""

    def __init__(self, trunk: Trunk, dim: int, sharing: Sharing, options: Options) -> None:
        super().__init__(trunk, sharing, options.max_depth, options.initialisation)
        self.options, self.progress = options, 1.0
        self.keys_of_all = options.caching != "recursion_wise"
        if options.routing == "expert_choice":
            self.routers = nn.ModuleList(
                ExpertChoice(dim, options) for _ in range(options.max_depth)
            )
        else:
            self.router = TokenChoice(dim, options.max_depth, options)

    def set_progress(self, model: nn.Module, progress: float) -> None:
        self.progress = progress
        if self.options.routing == "token_choice" and self.options.balancing == "loss_free":
            self.router.move_bias()

    def route(self, inputs: TrunkInput) -> Routing:
        layout = inputs.layout
        shape = (layout.batch, layout.views, layout.height, layout.width)
        facts = {"routing": self.options.routing}
        if self.options.routing == "expert_choice":
            nothing = torch.zeros(shape, dtype=torch.int64, device=inputs.tokens.device)
            return Routing(nothing, self.max_depth, facts=facts)
        x = inputs.tokens[:, :, layout.special :]
        logits, probabilities = self.router.probabilities(x)  # [B, S, P, depths]
        chosen, gate = self.router.choose(probabilities)
        entered = inputs.tokens.flatten(0, 2)
        routing = Routing(
            chosen.view(shape) + 1,
            self.max_depth,
            facts=facts,
            gate=gate.flatten(),
            entered=entered,
        )
        if self.training:
            parts = self.router.losses(logits, probabilities, chosen)
            if self.options.balancing == "loss":
                routing.losses["balance"] = self.options.balance_weight * parts["balancing_loss"]
            routing.losses["router_z"] = self.options.z_weight * parts["z_loss"]
        return routing

    def select(self, routing: Routing, recursion: int, x: Tensor, before: Subset) -> Subset:
        if self.options.routing == "token_choice":
            return deeper_than(routing.depth, recursion, before.layout)
        layout, patches = before.layout, before.index[before.patches]
        alive = x[patches].unflatten(
            0, (layout.batch, -1)
        )  # [B, n, C]: every scene keeps equally many
        router: Any = self.routers[recursion]
        logits = router.logits(alive)
        share = self.options.capacities[recursion]
        if self.training and self.options.capacity_warmup:
            share = capacity_at(share, self.progress / self.options.capacity_warmup)
        kept = router.keep(logits, min(kept_count(share, routing.depth[0].numel()), alive.shape[1]))
        index = patches.unflatten(0, (layout.batch, -1)).gather(1, kept).flatten()
        if self.training:
            self._add_losses(routing, router.losses(alive, logits, kept))
        routing.gate = router.gate(logits).gather(1, kept).flatten()
        taken = Subset(torch.cat([before.index[~before.patches], index]).sort().values, layout)
        depth = routing.depth.flatten().index_fill(0, taken.patch_index, recursion + 1)
        routing.depth = depth.view_as(routing.depth)
        return taken

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
        """Gate the patches; special tokens take the block's output."""
        assert routing.gate is not None
        token_choice = self.options.routing == "token_choice"
        scores = routing.gate[active.patch_index] if token_choice else routing.gate
        gate = before.new_ones(len(before)).masked_scatter(active.patches, scores.to(before.dtype))[
            :, None
        ]
        if self.options.gating == "residual":
            return before + straight_through(gate) * (after - before) if self.training else after
        gated = (gate if self.options.gating == "weighted" else 1) * after
        if not token_choice:
            return torch.where(active.patches[:, None], before + gated, after)
        assert (
            routing.entered is not None
        )  # token choice: the gate comes when a patch has taken its last recursion
        ends = routing.depth.flatten()[active.patch_index] == recursion + 1
        last = torch.zeros_like(active.patches).masked_scatter(active.patches, ends)
        return torch.where(last[:, None], routing.entered[active.index] + gated, after)

    def key_values(self, routing: Routing) -> KeyValues | None:
        return None if self.options.caching == "recursion_wise" else CACHES[self.options.caching]()


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
        Sharing(trunk_pairs(backbone, scale), self.options.recursions, self.options.sharing)

    def cost(self, dense: BackboneCost) -> Cost:
        o = self.options
        depths, assumed = assumed_depths(dense)
        patches, choice = dense.tokens - dense.special, o.routing == "expert_choice"
        active = list(o.capacities) if choice else deeper_shares(depths, o.max_depth)
        sharing, once = (
            Sharing(dense.pairs, o.recursions, o.sharing),
            o.caching == "recursive_sharing",
        )
        parts = recursive_parts(dense, sharing, active, o.caching != "recursion_wise", once)
        wide = dense.dim if o.router == "linear" else 2 * dense.dim * (dense.dim + 1)
        scored = 1.0 + sum(active[:-1]) if choice else float(o.max_depth)
        parts["routers"] = dense.frames * patches * scored * wide
        return Cost(parts, "" if choice else assumed)

    def apply(self, model: Any) -> None:
        trunk = model.trunk
        sharing = Sharing(trunk.depth, self.options.recursions, self.options.sharing)
        model.schedule = MoRSchedule(trunk, model.width, sharing, self.options)
