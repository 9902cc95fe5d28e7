"""FastVGGT: tokens of all views are merged before global attention and unmerged after it.

The default is the released behaviour, because the published numbers come from it: destinations are
laid out with the wrong row length on odd grids, protected tokens are every tenth and not the
salient ones, and special tokens take merges.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.method import Method, MethodOptions
from bench3r.attention.merging import MergePlan, TokenRoles, bipartite_plan, token_roles
from bench3r.attention.places import Places
from bench3r.models.layers import Attention, Core, TokenLayout, attention_modules, whole_sequence

CELL_SEED = 33  # of the released code's random destinations


class Options(MethodOptions):
    """Which tokens are merged."""

    start: int = Field(0, ge=0, description="first global layer that merges")
    ratio: float = Field(0.9, ge=0, le=1, description="share of all tokens that are merged at most")
    protect: float = Field(
        0.1, ge=0, le=1, description="share of the tokens that are never merged, evenly spaced"
    )
    cell: int = Field(2, ge=1, description="one destination in every cell of this side")
    grid: Literal["released", "corrected"] = Field(
        "released", description="how destinations are laid out on odd grids"
    )
    matching: Literal["bf16", "fp32"] = Field("bf16", description="precision of the similarities")


def destinations(layout: TokenLayout, cells: Tensor, options: Options) -> Tensor:
    """Which tokens [N] are destinations: first view, special tokens, one patch of every cell.

    ``cells`` [views - 1, rows of cells, columns of cells]: the chosen patch of each, as row offset
    times cell + column offset.
    """
    side = options.cell
    views, rows, columns = cells.shape
    row = torch.arange(rows, device=cells.device)[:, None] * side + cells // side
    column = torch.arange(columns, device=cells.device) * side + cells % side
    # the released code forgets the last odd column
    width = layout.width if options.grid == "corrected" else columns * side
    place = (row * width + column).flatten(1)
    none = torch.zeros(views, layout.height * layout.width, dtype=torch.long, device=cells.device)
    patches = none.scatter(1, place, torch.ones_like(place)) > 0
    special = patches.new_ones(views, layout.special)
    others = torch.cat([special, patches], 1)
    return torch.cat([patches.new_ones(layout.tokens_per_view), others.flatten()])


def protected(length: int, share: float, device: torch.device) -> Tensor:
    """Evenly spaced token indices [int(share * length)]."""
    count = int(share * length)
    if count == 0:
        return torch.arange(0, device=device)
    return torch.arange(length, device=device)[:: length // count][:count]


def roles(options: Options, layout: TokenLayout) -> TokenRoles:
    """What the tokens of a scene are, by its layout alone."""
    side = options.cell
    shape = (layout.views - 1, layout.height // side, layout.width // side)
    generator = torch.Generator().manual_seed(CELL_SEED)
    cells = torch.randint(side * side, shape, generator=generator)
    chosen = destinations(layout, cells, options)
    return token_roles(chosen, protected(len(chosen), options.protect, chosen.device))


class MergingCore(Core):
    """Dense attention on the merged sequence."""

    def __init__(self, options: Options, places: Places) -> None:
        super().__init__()
        self.options = options
        self.places = places

    def plan(self, x: Tensor, layout: TokenLayout) -> MergePlan:
        """The plan for the tokens ``x`` [N, C] of one scene."""
        return bipartite_plan(
            x,
            TokenRoles(*self.places(layout, x.device)),
            int(self.options.ratio * len(x)),
            torch.bfloat16 if self.options.matching == "bf16" else torch.float32,
        )

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        raise ValueError(
            "fastvggt matches tokens by the block's input: it cannot run under a schedule that "
            "packs tokens"
        )

    def attend(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout | None
    ) -> Tensor:
        layout = whole_sequence(layout, x.shape[1], "fastvggt")
        q, k, v = attention.project(x, rope)  # [B, heads, N, d]
        scenes = []
        for b in range(len(x)):
            plan = self.plan(x[b], layout)
            scenes.append((plan, [plan.merge(t[b])[None] for t in (q, k, v)]))
        del q, k, v  # before attention makes its own
        outputs = []
        for plan, (queries, keys, values) in scenes:
            attended = F.scaled_dot_product_attention(queries, keys, values)
            outputs.append(plan.unmerge(attended[0]))
        out = outputs[0][None] if len(outputs) == 1 else torch.stack(outputs)
        return out.transpose(1, 2).flatten(2)


class FastVGGT(Method):
    """Token merging in global attention; no training."""

    name = "fastvggt"
    label = "FastVGGT"
    hooks = ("attention",)
    source = (
        "Shen et al., FastVGGT: Training-Free Acceleration of Visual Geometry Transformer, "
        "ICLR 2026"
    )
    Options = Options

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        n = unchanged.sequence
        cells = (unchanged.grid[0] // options.cell) * (unchanged.grid[1] // options.cell)
        targets = unchanged.tokens + (unchanged.frames - 1) * (unchanged.special + cells)
        # protected tokens are spread evenly over sources and destinations
        alone = int(options.protect * n)
        sources = n - targets - alone * (1 - targets / n)
        merged = min(int(options.ratio * n), sources)
        length = n - merged + alone * targets / n

        def core(a: AttentionShape) -> float:
            if a.layer < options.start:
                return a.dense
            return sources * targets * a.dim + 2 * length**2 * a.dim

        assumed = "protected tokens are spread evenly" if alone else ""
        return Cost(unchanged.with_global(core), assumed)

    def apply(self, model: Any) -> None:
        places = Places(partial(roles, self.options))
        for _, attention in list(attention_modules(model, "global"))[self.options.start :]:
            attention.core = MergingCore(self.options, places)
