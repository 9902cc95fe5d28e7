"""SpatialMoR: recursion depth per patch, chosen from the patch and its neighbourhood (Gupta and Kaur, SpatialMoR-VGGT).

Equation numbers are the paper's. What it leaves open is decided here and said where it is: soft depths in the losses,
SLIC for its "preliminary segmentation", a ball round the region's mean for equation 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from skimage.segmentation import slic
from torch import Tensor, nn

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.api.presentation import Fact
from bench3r.models.catalogue import input_size, trunk_pairs
from bench3r.models.layers import TokenLayout
from bench3r.models.trunk import Trunk, TrunkInput
from bench3r.recursion.cost import assumed_depths, deeper_shares, recursive_parts
from bench3r.recursion.depth import (
    DEPTH_FACTS,
    lipschitz,
    lipschitz_regions,
    neighbour_differences,
    region_adjacency,
    violations,
)
from bench3r.recursion.packed import (
    KeyValues,
    LatestKeyValues,
    StoredKeyValues,
    Subset,
    as_grid,
    deeper_than,
)
from bench3r.recursion.schedule import RecursionNorm, RecursiveSchedule, Routing
from bench3r.recursion.sharing import Initialisation, Pattern, Sharing


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
        description="adaptive (the paper's rejected alternative): plain 2 x 2 blocks are one token, depth is fixed",
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
        0.1, ge=0, description="the same inside neighbourhoods, once one depth dominates"
    )
    local_balance_limit: float = Field(
        0.9, ge=0, le=1, description="share of a neighbourhood at one depth that is too much"
    )
    spatial_weight: float = Field(0.05, ge=0, description="gamma of equation 6")
    delta: float = Field(1.0, ge=0, description="equation 8: allowed difference of depth")
    warmup: float = Field(
        0.4, ge=0, le=1, description="share of the fine-tuning at fixed depth 2 (20 of 50 epochs)"
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
                f"patch_sizing adaptive needs caching recursion_wise, got {self.caching}: merged patches have "
                "no keys and values of their own"
            )
        return self


@dataclass
class SpatialRouting(Routing):
    """Routing with what the spatial variants need besides."""

    regions: Tensor | None = None  # labels [B, S, h, w], distinct across views
    blocks: Tensor | None = None  # bool [B * S, h // 2, w // 2]: merged into one token


class SpatialRouter(nn.Module):
    """Equation 3: a two-layer MLP with GELU on a patch and its neighbourhood (§IV.B)."""

    def __init__(self, dim: int, hidden: int, depths: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(window * window * dim, hidden)
        self.fc2 = nn.Linear(hidden, depths)

    def forward(self, patches: Tensor) -> Tensor:
        """Patch features [V, C, h, w] -> logits over depths [V, h, w, depths]. Borders repeat the outermost patch."""
        side = self.window // 2
        x = self.norm(patches.movedim(1, -1)).movedim(-1, 1)
        around = F.unfold(
            F.pad(x, (side,) * 4, mode="replicate"), self.window
        )  # [V, C * window^2, h * w]
        logits = self.fc2(F.gelu(self.fc1(around.transpose(1, 2))))
        return logits.unflatten(1, patches.shape[-2:])


def neighbourhood_mean(x: Tensor) -> Tensor:
    """Mean over the 3 x 3 neighbourhood of every patch of [V, h, w, D], cut off at the border."""
    pooled = F.avg_pool2d(
        x.movedim(-1, 1), 3, 1, 1, count_include_pad=False
    )  # channels last in memory
    return pooled.movedim(1, -1)


class SpatialBlending(StoredKeyValues):
    """Equation 4: active patches blend new with old; finished ones drift towards their neighbourhood's mean."""

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def update(self, stored: Tensor, new: Tensor, active: Subset) -> Tensor:
        layout = active.layout
        views = stored.unflatten(0, (-1, layout.tokens_per_view)).flatten(
            2
        )  # [B * S, T, 2 * heads * d]
        patches = views[:, layout.special :].unflatten(1, (layout.height, layout.width))
        finished = neighbourhood_mean(patches).flatten(1, 2)
        if self.beta != 1:
            finished = self.beta * finished
        drifted = torch.cat([views[:, : layout.special], finished], 1).view(stored.shape)
        blended = torch.lerp(stored.index_select(0, active.index), new, self.alpha)
        return drifted.index_copy_(0, active.index, blended)


class RegionCoherent(LatestKeyValues):
    """Equation 5: entries of one region lie within epsilon of each other, in a ball round the region's mean."""

    def __init__(self, regions: Tensor, epsilon: float) -> None:
        super().__init__()
        self.regions, self.epsilon = regions, epsilon  # labels [B, S, h, w], distinct across views

    def view(self, stored: Tensor, active: Subset) -> Tensor:
        layout, labels = active.layout, self.regions.flatten()
        patches = (
            stored.unflatten(0, (-1, layout.tokens_per_view))[:, layout.special :]
            .flatten(0, 1)
            .flatten(1)
        )
        count = int(labels.max()) + 1
        sizes = torch.bincount(labels, minlength=count).clamp(min=1)[:, None].to(stored)
        mean = (patches.new_zeros(count, patches.shape[1]).index_add(0, labels, patches) / sizes)[
            labels
        ]
        away = patches - mean
        radius = (
            0.4999 * self.epsilon * away.shape[1] ** 0.5
        )  # strictly inside: rounding must not break equation 5
        factor = (radius / away.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        pulled = torch.addcmul(mean, away, factor)
        views = stored.unflatten(0, (-1, layout.tokens_per_view)).flatten(2)
        joined = torch.cat([views[:, : layout.special], pulled.unflatten(0, (len(views), -1))], 1)
        return joined.reshape(stored.shape)


def segment(images: Tensor, grid: tuple[int, int], count: int) -> Tensor:
    """SLIC regions of patches [B, S, h, w], labels distinct across all views, from images [B, S, 3, H, W].

    Works on the mean colour of every patch, so that regions consist of whole patches.
    """
    means = (
        F.adaptive_avg_pool2d(images.float().flatten(0, 1), grid).permute(0, 2, 3, 1).cpu().numpy()
    )
    maps, first = [], 0
    for picture in means:
        labels = slic(picture, n_segments=count, compactness=0.1, start_label=0, channel_axis=-1)
        _, dense = np.unique(labels, return_inverse=True)
        maps.append(dense.reshape(grid) + first)
        first = int(maps[-1].max()) + 1
    return torch.from_numpy(np.stack(maps)).to(images.device).unflatten(0, images.shape[:2])


def plain_blocks(images: Tensor, grid: tuple[int, int], share: float) -> Tensor:
    """The ``share`` of the 2 x 2 blocks of patches whose pixels vary least, per image: bool [B * S, h // 2, w // 2]."""
    h, w = grid[0] // 2, grid[1] // 2
    patch = images.shape[-1] // grid[1]
    pixels = images.flatten(0, 1)[..., : 2 * h * patch, : 2 * w * patch].float()
    mean = F.adaptive_avg_pool2d(pixels, (h, w))
    spread = (F.adaptive_avg_pool2d(pixels.square(), (h, w)) - mean.square()).sum(1).flatten(1)
    order = spread.argsort(1).argsort(1)
    return (order < round(share * h * w)).unflatten(1, (h, w))


def spread_blocks(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of 2 x 2 blocks [V, C, h // 2, w // 2] for each of their patches [V, C, h, w]; zero beyond the last block."""
    wide = values.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return F.pad(wide, (0, size[1] - wide.shape[-1], 0, size[0] - wide.shape[-2]))


def balance_loss(probabilities: Tensor) -> Tensor:
    """Second term of equation 6 with soft shares: sum over depths of (share - 1 / K)^2, of probabilities [..., K]."""
    share = probabilities.flatten(0, -2).mean(0)
    return (share - 1 / len(share)).square().sum()


def local_balance_loss(probabilities: Tensor, window: int, limit: float) -> Tensor:
    """Utilisation inside neighbourhoods (§IV.B): by how much one depth's share of a window exceeds ``limit``, squared.

    ``probabilities`` [V, h, w, K]. The share is that of the actual choices; its gradient reaches the probabilities.
    """
    chosen = F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).to(probabilities)
    used = chosen + probabilities - probabilities.detach()
    share = F.avg_pool2d(used.movedim(-1, 1), window, 1, window // 2, count_include_pad=False)
    return (share - limit).clamp(min=0).square().sum(1).mean()


def spatial_loss(soft_depth: Tensor, delta: float) -> Tensor:
    """Equation 8 on soft depths [V, h, w]: mean over neighbouring pairs of max(0, |difference| - delta)."""
    pairs = torch.cat([d.flatten() for d in neighbour_differences(soft_depth)])
    return (pairs - delta).clamp(min=0).mean()


class Remember(nn.Module):
    """Stands in for the norms: lets tokens through and keeps what each recursion was given."""

    def __init__(self, entered: dict[int, Tensor]) -> None:
        super().__init__()
        self.entered = entered

    def forward(self, x: Tensor, recursion: int) -> Tensor:
        self.entered[recursion] = x
        return x


class SpatialMoRSchedule(RecursiveSchedule):
    """The recursive schedule with the spatial router, its caches and its training."""

    def __init__(self, trunk: Trunk, dim: int, sharing: Sharing, options: Options) -> None:
        super().__init__(trunk, sharing, options.max_depth, options.initialisation)
        self.options, self.progress = options, 1.0
        self.keys_of_all = options.caching != "recursion_wise"
        if options.patch_sizing == "fixed":
            self.router = SpatialRouter(
                dim, options.hidden or dim // 3, options.max_depth, options.neighbourhood
            )
        if options.recursion_norm:
            self.norms = RecursionNorm(dim, options.max_depth)

    @property
    def deepest(self) -> int:
        """Recursions allowed now: 2 while the router warms up, then the curriculum's maximum, in the end all."""
        if not self.training or self.progress >= 1:
            return self.max_depth
        start = min(2, self.max_depth)
        if self.progress < self.options.warmup:
            return start
        share = (self.progress - self.options.warmup) / max(1e-9, 1 - self.options.warmup)
        return min(self.max_depth, start + int(share * (self.max_depth - start + 1)))

    def set_progress(self, model: Any, progress: float) -> None:
        """Curriculum, and gradual unfreezing: first router and shared blocks, then the heads, then the rest (§IV.D)."""
        self.progress = progress
        heads, rest = progress >= self.options.unfreeze, progress >= (1 + self.options.unfreeze) / 2
        trunk = [
            *self.parameters(),
            *(
                p
                for b in (*model.trunk.frame_blocks, *model.trunk.global_blocks)
                for p in b.parameters()
            ),
        ]
        recursive = {id(p) for p in trunk}
        head_names = tuple(
            f"{m}." for part, names in model.parts.items() if part.endswith("_head") for m in names
        )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(
                rest or id(parameter) in recursive or (heads and name.startswith(head_names))
            )

    def route(self, inputs: TrunkInput) -> Routing:
        layout, o = inputs.layout, self.options
        grid = (layout.height, layout.width)
        regions = None
        if o.routing == "region_guided" or o.caching == "region_coherent":
            assert inputs.images is not None, "regions need the images"
            regions = segment(inputs.images, grid, o.regions)
        if o.patch_sizing == "adaptive":
            return self._merge_plain(inputs)
        logits = self.router(as_grid(inputs.tokens.flatten(0, 2), layout))[
            ..., : self.deepest
        ]  # [V, h, w, depths]
        if o.routing == "region_guided":
            assert regions is not None
            logits = self._pool(logits, regions.flatten(0, 1))
        probabilities = logits.softmax(-1)
        chosen = probabilities.argmax(-1) + 1
        if self.training and self.progress < o.warmup:
            chosen = torch.full_like(chosen, self.deepest)
        depth = self._coherent(chosen, regions)
        survival = (
            probabilities.flip(-1).cumsum(-1).flip(-1).flatten(0, 2)
        )  # [.., r] = P(depth > r)
        facts = {
            "violations_before": violations(chosen),
            "raised_share": float((depth > chosen).float().mean()),
        }
        return SpatialRouting(
            depth.view(layout.batch, layout.views, *grid),
            self.deepest,
            facts=facts,
            gate=survival,
            regions=regions,
            losses=self._losses(probabilities) if self.training else {},
        )

    def _merge_plain(self, inputs: TrunkInput) -> Routing:
        """Adaptive patch sizing: fixed depth, plain blocks as single tokens."""
        layout = inputs.layout
        assert inputs.images is not None, "adaptive patch sizing needs the images"
        blocks = plain_blocks(inputs.images, (layout.height, layout.width), self.options.merged)
        shape = (layout.batch, layout.views, layout.height, layout.width)
        depth = torch.full(shape, self.deepest, device=blocks.device)
        gone = 3 * int(blocks.sum()) / depth.numel()
        return SpatialRouting(
            depth, self.deepest, facts={"merged_share": gone, "collapsed": False}, blocks=blocks
        )

    def _pool(self, logits: Tensor, regions: Tensor) -> Tensor:
        """Every patch gets its region's mean logits; ``regions`` [V, h, w]."""
        labels = regions.flatten()
        count = int(labels.max()) + 1
        sizes = torch.bincount(labels, minlength=count)[:, None].to(logits)
        summed = logits.new_zeros(count, logits.shape[-1]).index_add(
            0, labels, logits.flatten(0, 2)
        )
        return (summed / sizes)[labels].view_as(logits)

    def _coherent(self, chosen: Tensor, regions: Tensor | None) -> Tensor:
        """The smallest map [V, h, w] above the router's choice without steps of two, on patches or on regions."""
        if not self.options.lipschitz:
            return chosen
        if self.options.routing == "local_context":
            return lipschitz(chosen)
        assert regions is not None
        out = []
        for depth, labels in zip(chosen, regions.flatten(0, 1), strict=True):
            own = labels - labels.min()
            count = int(own.max()) + 1
            per_region = depth.new_zeros(count).scatter(0, own.flatten(), depth.flatten())
            out.append(lipschitz_regions(per_region, region_adjacency(own, count))[own])
        return torch.stack(out)

    def _losses(self, probabilities: Tensor) -> dict[str, Tensor]:
        """The weighted second and third terms of equation 6; the spatial one rises with training (§IV.D)."""
        o, depths = (
            self.options,
            torch.arange(1, probabilities.shape[-1] + 1, device=probabilities.device),
        )
        soft = (probabilities * depths).sum(-1)
        return {
            "balance": o.balance_weight * balance_loss(probabilities),
            "local_balance": o.local_balance_weight
            * local_balance_loss(probabilities, max(3, o.neighbourhood), o.local_balance_limit),
            "spatial": o.spatial_weight * self.progress * spatial_loss(soft, o.delta),
        }

    def select(self, routing: Routing, recursion: int, x: Tensor, before: Subset) -> Subset:
        assert isinstance(routing, SpatialRouting)
        if routing.blocks is None:
            return deeper_than(routing.depth, recursion, before.layout)
        layout = before.layout
        inside = (
            spread_blocks(routing.blocks[:, None].float(), (layout.height, layout.width))[:, 0] > 0
        )
        inside[:, ::2, ::2] = False  # the first patch of a block stands for all four
        return deeper_than((~inside).long().view_as(routing.depth), 0, layout)

    def enter(self, routing: Routing, recursion: int, x: Tensor, active: Subset) -> Tensor:
        assert isinstance(routing, SpatialRouting)
        if routing.blocks is not None:
            x = self._with_block_means(routing.blocks, x, active)
        state = active.of(x)
        return self.norms(state, recursion) if self.options.recursion_norm else state

    def _with_block_means(self, blocks: Tensor, x: Tensor, active: Subset) -> Tensor:
        """``x`` [N, C] where patches of merged blocks hold their block's mean."""
        grid = as_grid(x, active.layout)  # [V, C, h, w]
        size = (active.layout.height, active.layout.width)
        mean = spread_blocks(F.avg_pool2d(grid, 2), size)
        inside = spread_blocks(blocks[:, None].float(), size) > 0
        return self._as_rows(torch.where(inside, mean, grid), x, active.layout.special)

    @staticmethod
    def _as_rows(grid: Tensor, x: Tensor, special: int) -> Tensor:
        """Maps [V, C, h, w] back in the flat list, special tokens from ``x`` [N, C]."""
        views = x.unflatten(0, (len(grid), -1))
        return torch.cat([views[:, :special], grid.flatten(2).transpose(1, 2)], 1).flatten(0, 1)

    def settle(self, routing: Routing, before: Tensor, after: Tensor) -> Tensor:
        """Adaptive patch sizing: every patch of a merged block takes the step that its block took."""
        assert isinstance(routing, SpatialRouting)
        if routing.blocks is None:
            return after
        views, rows = len(routing.blocks), len(after)
        h, w = routing.depth.shape[-2:]
        layout = TokenLayout(1, views, rows // views - h * w, h, w)
        old, new = as_grid(before, layout), as_grid(after, layout)
        step = new[..., : h // 2 * 2 : 2, : w // 2 * 2 : 2] - F.avg_pool2d(old, 2)
        inside = spread_blocks(routing.blocks[:, None].float(), (h, w)) > 0
        moved = torch.where(inside, old + spread_blocks(step, (h, w)), new)
        return self._as_rows(moved, after, layout.special)

    def combine(
        self, routing: Routing, recursion: int, active: Subset, before: Tensor, after: Tensor
    ) -> Tensor:
        """Straight-through: the step counts fully, its gradient reaches P(depth > recursion) of the patches."""
        if not self.training or recursion == 0 or routing.gate is None:
            return after
        score = routing.gate[active.patch_index, recursion]
        soft = before.new_ones(len(before)).masked_scatter(active.patches, score.to(before.dtype))[
            :, None
        ]
        return after + (soft - soft.detach()) * (after - before).detach()

    def key_values(self, routing: Routing) -> KeyValues | None:
        assert isinstance(routing, SpatialRouting)
        o = self.options
        if o.caching == "spatial_blending":
            return SpatialBlending(o.alpha, o.beta)
        if o.caching == "region_coherent":
            assert routing.regions is not None
            return RegionCoherent(routing.regions, o.epsilon)
        return LatestKeyValues() if o.caching == "latest" else None


class SpatialMoR(TrainedMethod):
    """Spatially routed recursion: neighbourhood-aware router, smooth depth maps, blended keys and values."""

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

    def check(self, backbone: str, scale: str) -> None:
        Sharing(trunk_pairs(backbone, scale), self.options.recursions, self.options.sharing)
        height, width, patch = input_size(backbone, scale)
        patches = (height // patch) * (width // patch)
        if self.options.regions > patches:
            raise Bench3RError(
                f"regions is {self.options.regions}, but an image has only {patches} patches at scale {scale}"
            )

    def cost(self, dense: BackboneCost) -> Cost:
        o, patches = self.options, dense.tokens - dense.special
        depths, assumed = assumed_depths(dense)
        active = deeper_shares(depths, o.max_depth)
        if o.patch_sizing == "adaptive":
            gone = 3 * round(o.merged * (dense.grid[0] // 2) * (dense.grid[1] // 2)) / patches
            active, assumed = [1 - gone] * o.max_depth, ""
        sharing = Sharing(dense.pairs, o.recursions, o.sharing)
        parts = recursive_parts(dense, sharing, active, o.caching != "recursion_wise")
        if o.patch_sizing == "fixed":
            hidden = o.hidden or dense.dim // 3
            parts["router"] = (
                dense.frames
                * patches
                * float(o.neighbourhood**2 * dense.dim * hidden + hidden * o.max_depth)
            )
        return Cost(parts, assumed)

    def apply(self, model: Any) -> None:
        sharing = Sharing(model.trunk.depth, self.options.recursions, self.options.sharing)
        model.schedule = SpatialMoRSchedule(model.trunk, model.width, sharing, self.options)

    def calibrate(self, model: Any, images: Tensor) -> None:
        """Give each recursion's norm the scale that its input has on example ``images`` without the norm."""
        if not self.options.recursion_norm:
            return
        schedule = model.schedule
        entered: dict[int, Tensor] = {}
        norms, schedule.norms = schedule.norms, Remember(entered)
        with torch.no_grad():
            model.run_trunk(images)
        schedule.norms = norms
        for recursion, x in entered.items():
            norms.calibrate(recursion, x)
