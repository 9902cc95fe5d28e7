"""SpatialMoR: recursion depth per patch, chosen from the patch and its neighbourhood.

Equation numbers are those of Gupta and Kaur, SpatialMoR-VGGT. What it leaves open is decided here
and said where it is: soft depths in the losses, SLIC for its "preliminary segmentation", a ball
round the region's mean for equation 5. The schedule that runs the recursions is
bench3r/recursion/schedule.py; losses, caches and regions are in the same folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.api.presentation import ComponentTable, Fact, OptionTable, Reported
from bench3r.models.catalogue import input_size, trunk_pairs
from bench3r.models.trunk import Trunk, TrunkInput
from bench3r.recursion.cost import assumed_depths, deeper_shares, recursive_parts
from bench3r.recursion.depth import DEPTH_FACTS, lipschitz, violations
from bench3r.recursion.merged_blocks import MergedBlocks, plain_blocks
from bench3r.recursion.packed import KeyValues, LatestKeyValues, Subset, as_grid, deeper_than
from bench3r.recursion.regions import lipschitz_on_regions, region_means, segment
from bench3r.recursion.schedule import RecursionNorm, RecursiveSchedule, Routing
from bench3r.recursion.sharing import Initialisation, Pattern, Sharing
from bench3r.recursion.spatial_caches import RegionCoherent, SpatialBlending
from bench3r.recursion.spatial_losses import balance_loss, local_balance_loss, spatial_loss

WARMUP_DEPTH = 2  # recursions of every patch until the router has warmed up


class Options(MethodOptions):
    """SpatialMoR's settings; defaults are the paper's where it gives one."""

    max_depth: int = Field(4, ge=1, description="recursions that a patch may take at most")
    recursions: int = Field(
        4, ge=1, description="K: recursions that replace the trunk at equal cost"
    )
    routing: Literal["local_context", "region_guided"] = "local_context"
    caching: Literal["spatial_blending", "region_coherent", "latest", "recursion_wise"] = (
        "spatial_blending"
    )
    alpha: float = Field(
        0.75, ge=0, le=1, description="equation 4: share of a patch's new keys and values"
    )
    beta: float = Field(
        1.0,
        ge=0,
        le=1,
        description="equation 4: factor on the neighbourhood mean of finished patches",
    )
    epsilon: float = Field(
        0.5, gt=0, description="equation 5: largest difference in a region, RMS over the channels"
    )
    neighbourhood: int = Field(3, ge=1, description="side of the router's window, in patches")
    regions: int = Field(16, ge=1, description="SLIC regions per image")
    lipschitz: bool = Field(
        True, description="adjacent patches never differ by more than one recursion"
    )
    patch_sizing: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="adaptive (the paper's rejected alternative): plain 2 x 2 blocks are one "
        "token, recursion depth is fixed",
    )
    merged: float = Field(
        0.5,
        ge=0,
        le=1,
        description="adaptive: share of the 2 x 2 blocks that are merged, plainest first",
    )
    sharing: Pattern = "cycle"
    initialisation: Initialisation = "average"
    hidden: int | None = Field(
        None, ge=1, description="width inside the router; None: a third of the model's (256 of 768)"
    )
    recursion_norm: bool = Field(True, description="layer norm before each recursion")
    balance_weight: float = Field(0.1, ge=0, description="lambda of equation 6")
    local_balance_weight: float = Field(
        0.1, ge=0, description="the same inside neighbourhoods, once one recursion depth dominates"
    )
    local_balance_limit: float = Field(
        0.9,
        ge=0,
        le=1,
        description="largest share of a neighbourhood at one recursion depth",
    )
    spatial_weight: float = Field(0.05, ge=0, description="gamma of equation 6")
    delta: float = Field(1.0, ge=0, description="equation 8: allowed difference of recursion depth")
    warmup: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of the fine-tuning at recursion depth 2 for all (20 of 50 epochs)",
    )
    unfreeze: float = Field(
        0.5, ge=0, le=1, description="share of the fine-tuning after which the heads learn too"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        if self.max_depth > self.recursions:
            raise ValueError(f"max_depth {self.max_depth} exceeds recursions {self.recursions}")
        if self.neighbourhood % 2 == 0:
            raise ValueError(f"neighbourhood must be odd, got {self.neighbourhood}")
        if self.patch_sizing == "adaptive" and self.caching != "recursion_wise":
            raise ValueError(
                f"patch_sizing adaptive needs caching recursion_wise, got {self.caching}: "
                "merged patches have no keys and values of their own"
            )
        return self

    @property
    def keys_of_all(self) -> bool:
        """Whether active patches attend to every patch, or to the active ones alone."""
        return self.caching != "recursion_wise"

    @property
    def uses_regions(self) -> bool:
        """Whether images are segmented."""
        return self.routing == "region_guided" or self.caching == "region_coherent"

    def router_width(self, dim: int) -> int:
        """Hidden width of the router of a trunk of ``dim`` channels."""
        return self.hidden or dim // 3


class SpatialRouter(nn.Module):
    """Equation 3: a two-layer MLP with GELU on a patch and its neighbourhood (§IV.B)."""

    def __init__(self, dim: int, hidden: int, depths: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(window * window * dim, hidden)
        self.fc2 = nn.Linear(hidden, depths)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits [V, h, w, depths] of patches [V, C, h, w]; borders repeat the outermost patch."""
        side = self.window // 2
        x = self.norm(patches.movedim(1, -1)).movedim(-1, 1)
        padded = F.pad(x, (side,) * 4, mode="replicate")
        # fc1 on every neighbourhood as a convolution: no copy of the neighbourhoods is made
        kernel = self.fc1.weight.unflatten(1, (-1, self.window, self.window))
        hidden = F.conv2d(padded, kernel, self.fc1.bias)  # [V, hidden, h, w]
        return self.fc2(F.gelu(hidden.movedim(1, -1)))


@dataclass
class SpatialRouting(Routing):
    """Routing, and what the spatial variants add to it."""

    regions: Tensor | None = None  # labels [B, S, h, w], distinct across views
    blocks: MergedBlocks | None = None  # adaptive patch sizing


class SpatialMoRSchedule(RecursiveSchedule):
    """The recursive schedule with the spatial router, its caches and its training."""

    def __init__(self, trunk: Trunk, dim: int, sharing: Sharing, options: Options) -> None:
        super().__init__(trunk, sharing, options.max_depth, options.initialisation)
        self.options = options
        self.progress = 1.0  # of the fine-tuning
        self.keys_of_all = options.keys_of_all
        if options.patch_sizing == "fixed":
            self.router = SpatialRouter(
                dim, options.router_width(dim), options.max_depth, options.neighbourhood
            )
        if options.recursion_norm:
            self.norms = RecursionNorm(dim, options.max_depth)

    @property
    def warming_up(self) -> bool:
        """Whether the router does not decide yet."""
        return self.training and self.progress < self.options.warmup

    @property
    def deepest(self) -> int:
        """Recursions allowed now: 2 during the warm-up, then ever more of them, in the end all."""
        if not self.training or self.progress >= 1:
            return self.max_depth
        start = min(WARMUP_DEPTH, self.max_depth)
        if self.warming_up:
            return start
        warmup = self.options.warmup
        share = (self.progress - warmup) / max(1e-9, 1 - warmup)
        return min(self.max_depth, start + int(share * (self.max_depth - start + 1)))

    def set_progress(self, model: Any, progress: float) -> None:
        """Curriculum and gradual unfreezing (§IV.D).

        Router and shared blocks learn first, then the heads too, then everything.
        """
        self.progress = progress
        heads_learn = progress >= self.options.unfreeze
        all_learn = progress >= (1 + self.options.unfreeze) / 2
        recursive = {id(p) for p in self.parameters()}
        for block in (*model.trunk.frame_blocks, *model.trunk.global_blocks):
            recursive |= {id(p) for p in block.parameters()}
        heads = head_prefixes(model)
        for name, parameter in model.named_parameters():
            is_head = name.startswith(heads)
            learns = all_learn or id(parameter) in recursive or (heads_learn and is_head)
            parameter.requires_grad_(learns)

    def route(self, inputs: TrunkInput) -> Routing:
        if self.options.patch_sizing == "adaptive":
            return self._merge_plain(inputs)
        layout = inputs.layout
        regions = self._regions(inputs)
        logits = self.router(as_grid(inputs.tokens.flatten(0, 2), layout))
        logits = logits[..., : self.deepest]  # [B * S, h, w, depths]
        if self.options.routing == "region_guided":
            assert regions is not None
            pooled = region_means(logits.flatten(0, 2), regions.flatten())
            logits = pooled.view_as(logits)
        probabilities = logits.softmax(-1)
        chosen = probabilities.argmax(-1) + 1
        if self.warming_up:
            chosen = torch.full_like(chosen, self.deepest)
        depth = self._coherent(chosen, regions)
        deeper = probabilities.flip(-1).cumsum(-1).flip(-1)  # [..., r]: P(depth > r)
        return SpatialRouting(
            depth.view(layout.batch, layout.views, layout.height, layout.width),
            self.deepest,
            losses=self._losses(probabilities) if self.training else {},
            facts={
                "violations_before": violations(chosen),
                "raised_share": float((depth > chosen).float().mean()),
            },
            gate=deeper.flatten(0, 2),
            regions=regions,
        )

    def _regions(self, inputs: TrunkInput) -> Tensor | None:
        """Labels [B, S, h, w] where a variant needs them."""
        if not self.options.uses_regions:
            return None
        assert inputs.images is not None, "regions need the images"
        grid = (inputs.layout.height, inputs.layout.width)
        return segment(inputs.images, grid, self.options.regions)

    def _merge_plain(self, inputs: TrunkInput) -> Routing:
        """Adaptive patch sizing: recursion depth is fixed, plain blocks are single tokens."""
        layout = inputs.layout
        assert inputs.images is not None, "adaptive patch sizing needs the images"
        merged = plain_blocks(inputs.images, (layout.height, layout.width), self.options.merged)
        shape = (layout.batch, layout.views, layout.height, layout.width)
        depth = torch.full(shape, self.deepest, device=merged.device)
        facts = {"merged_share": 3 * int(merged.sum()) / depth.numel(), "collapsed": False}
        return SpatialRouting(depth, self.deepest, facts=facts, blocks=MergedBlocks(merged, layout))

    def _coherent(self, chosen: Tensor, regions: Tensor | None) -> Tensor:
        """The smallest map [V, h, w] above the choice without steps of two, by patch or region."""
        if not self.options.lipschitz:
            return chosen
        if self.options.routing == "local_context":
            return lipschitz(chosen)
        assert regions is not None
        return lipschitz_on_regions(chosen, regions.flatten(0, 1))

    def _losses(self, probabilities: Tensor) -> dict[str, Tensor]:
        """Second and third term of equation 6, weighted, of ``probabilities`` [V, h, w, depths].

        The spatial one rises with training (§IV.D).
        """
        options = self.options
        depths = torch.arange(1, probabilities.shape[-1] + 1, device=probabilities.device)
        soft_depth = (probabilities * depths).sum(-1)
        window = max(3, options.neighbourhood)
        local = local_balance_loss(probabilities, window, options.local_balance_limit)
        spatial = spatial_loss(soft_depth, options.delta)
        return {
            "balance": options.balance_weight * balance_loss(probabilities),
            "local_balance": options.local_balance_weight * local,
            "spatial": options.spatial_weight * self.progress * spatial,
        }

    def select(self, routing: Routing, recursion: int, x: Tensor, before: Subset) -> Subset:
        assert isinstance(routing, SpatialRouting)
        if routing.blocks is not None:
            return routing.blocks.computed()
        return deeper_than(routing.depth, recursion, before.layout)

    def enter(self, routing: Routing, recursion: int, x: Tensor, active: Subset) -> Tensor:
        assert isinstance(routing, SpatialRouting)
        if routing.blocks is not None:
            x = routing.blocks.with_means(x)
        state = active.of(x)
        return self.norms(state, recursion) if self.options.recursion_norm else state

    def settle(self, routing: Routing, before: Tensor, after: Tensor) -> Tensor:
        assert isinstance(routing, SpatialRouting)
        return after if routing.blocks is None else routing.blocks.spread_step(before, after)

    def combine(
        self, routing: Routing, recursion: int, active: Subset, before: Tensor, after: Tensor
    ) -> Tensor:
        """The state ``after`` [M, C]; straight-through: its step trains P(depth > recursion)."""
        if not self.training or recursion == 0 or routing.gate is None:
            return after
        score = routing.gate[active.patch_index, recursion]
        ones = before.new_ones(len(before))
        soft = ones.masked_scatter(active.patches, score.to(before.dtype))[:, None]
        return after + (soft - soft.detach()) * (after - before).detach()

    def key_values(self, routing: Routing) -> KeyValues | None:
        assert isinstance(routing, SpatialRouting)
        options = self.options
        if options.caching == "spatial_blending":
            return SpatialBlending(options.alpha, options.beta)
        if options.caching == "region_coherent":
            assert routing.regions is not None
            return RegionCoherent(routing.regions, options.epsilon)
        return LatestKeyValues() if options.caching == "latest" else None


def head_prefixes(model: Any) -> tuple[str, ...]:
    """How the names of the parameters of the heads of ``model`` begin."""
    prefixes: list[str] = []
    for part, modules in model.parts.items():
        if part.endswith("_head"):
            prefixes += [f"{name}." for name in modules]
    return tuple(prefixes)


class Remember(nn.Module):
    """Stands in for the norms: lets tokens through and keeps what each recursion was given."""

    def __init__(self) -> None:
        super().__init__()
        self.entered: dict[int, Tensor] = {}

    def forward(self, x: Tensor, recursion: int) -> Tensor:
        self.entered[recursion] = x
        return x


COMPONENTS = ComponentTable(
    file="table1",
    title="Components",
    components={
        "spatial segmentation (patch embed)": ("patch_embed",),
        "recursion router": ("router", "routers"),
        "norms before recursions": ("recursion_norms",),
        "recursive block, frame attention": ("frame_blocks",),
        "recursive block, global attention": ("global_blocks",),
        "camera head": ("camera_head",),
        "depth head": ("depth_head",),
        "point head": ("point_head",),
    },
    notes=(
        "The unchanged trunk has a pair of blocks of its own where SpatialMoR applies the shared "
        "ones again.",
    ),
)
MAXIMUM_DEPTH = OptionTable(
    option="max_depth",
    file="table4",
    title="Maximum recursion depth",
    joins_main=True,
    # Chamfer distance, GFLOPs, and "speedup vs VGGT", which is the reduction of FLOPs
    reported={
        2: {"CD": 1.73, "FLOPs": 157.5, "saving": 0.25},
        3: {"CD": 1.69, "FLOPs": 172.2, "saving": 0.18},
        4: {"CD": 1.68, "FLOPs": 178.5, "saving": 0.15},
    },
)
REPORTED = Reported(
    paper="SpatialMoR",
    source="SpatialMoR-VGGT, Table II "
    "(A100 80GB; dataset, frames, resolution and units not stated)",
    tables={
        "table1": "Table I",
        "table2": "Table II",
        "table3": "Table III, there in words only",
        "table4": "Table IV",
        "table5": "Table V",
    },
    rows={
        "dust3r": {"CD": 1.78, "F1": 0.65, "dMSE": 0.018, "Time": 8.7, "FLOPs": 185},
        "mast3r": {"CD": 1.75, "F1": 0.66, "dMSE": 0.017, "Time": 7.2, "FLOPs": 178},
        "vggt": {"CD": 1.72, "F1": 0.68, "dMSE": 0.015, "Time": 0.9, "FLOPs": 210},
        "early_exit": {"CD": 1.74, "F1": 0.66, "dMSE": 0.016, "Time": 0.75, "FLOPs": 175},
        "mor": {"CD": 1.71, "F1": 0.69, "dMSE": 0.015, "Time": 0.82, "FLOPs": 195},
        "spatial_mor": {"CD": 1.69, "F1": 0.70, "dMSE": 0.014, "Time": 0.72, "FLOPs": 168},
    },
    depth_shares={
        "indoor": (0.382, 0.327, 0.214, 0.077),
        "controlled": (0.451, 0.303, 0.186, 0.060),
        "real-world": (0.328, 0.315, 0.252, 0.105),
    },
    depth_source="SpatialMoR, Table V, for real ScanNet, DTU and Mip-NeRF 360",
)


class SpatialMoR(TrainedMethod):
    """Spatially routed recursion: smooth recursion depths, blended keys and values."""

    name = "spatial_mor"
    label = "SpatialMoR"
    hooks = ("schedule",)
    source = "Gupta and Kaur, SpatialMoR-VGGT: Spatially Adaptive Efficient 3D Scene Reconstruction"
    Options = Options
    adapts_depth = True
    facts = (
        *DEPTH_FACTS,
        Fact("violations_before", "violations of the router's own choice of depths", "share"),
        Fact("raised_share", "patches whose depth the smallest smooth map raised", "share"),
        Fact("merged_share", "patches that merging plain blocks removed", "share"),
    )
    sections = (COMPONENTS, MAXIMUM_DEPTH)
    reported = (REPORTED,)

    def check(self, backbone: str, scale: str) -> None:
        """Refuse a trunk that the recursions do not divide, and more regions than patches.

        Raises Bench3RError with the numbers.
        """
        Sharing(trunk_pairs(backbone, scale), self.options.recursions, self.options.sharing)
        height, width, patch = input_size(backbone, scale)
        patches = (height // patch) * (width // patch)
        if self.options.regions > patches:
            raise Bench3RError(
                f"regions is {self.options.regions}, but an image has only {patches} patches "
                f"at scale {scale}"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        patches = unchanged.tokens - unchanged.special
        depths, assumed = assumed_depths(unchanged)
        active = deeper_shares(depths, options.max_depth)
        if options.patch_sizing == "adaptive":
            blocks = (unchanged.grid[0] // 2) * (unchanged.grid[1] // 2)
            merged_away = 3 * round(options.merged * blocks) / patches
            active = [1 - merged_away] * options.max_depth
            assumed = ""
        sharing = Sharing(unchanged.pairs, options.recursions, options.sharing)
        parts = recursive_parts(unchanged, sharing, active, options.keys_of_all)
        if options.patch_sizing == "fixed":
            hidden = options.router_width(unchanged.dim)
            weights = options.neighbourhood**2 * unchanged.dim * hidden + hidden * options.max_depth
            parts["router"] = unchanged.frames * patches * float(weights)
        return Cost(parts, assumed)

    def apply(self, model: Any) -> None:
        sharing = Sharing(model.trunk.depth, self.options.recursions, self.options.sharing)
        model.schedule = SpatialMoRSchedule(model.trunk, model.width, sharing, self.options)

    def calibrate(self, model: Any, images: Tensor) -> None:
        """Give each recursion's norm the scale of its input on ``images`` [B, S, 3, H, W]."""
        if not self.options.recursion_norm:
            return
        norms = model.schedule.norms
        remember = Remember()
        model.schedule.norms = remember
        with torch.no_grad():
            model.run_trunk(images)
        model.schedule.norms = norms
        for recursion, x in remember.entered.items():
            norms.calibrate(recursion, x)
