"""Spark3R: queries are merged inside groups of neighbouring views, keys and values are pruned over time, more so in
layers that do not mind. Training-free; which layers mind is probed on the backbone itself.

Gaps of the paper are closed as follows, each by an option or a note: K/V keeps every r_KV-th view (or tokens staggered over
views); the first view and all special tokens are never merged or pruned; tokens are matched by their keys over all heads;
every r_Q-th patch of a group is a destination, so that exactly 1 / r_Q of the queries remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, MethodOptions
from bench3r.api.scene import SceneData
from bench3r.attention.merging import MergePlan, strided_plan
from bench3r.models.backbones import load_backbone
from bench3r.models.layers import Core, TokenLayout, attention_modules, whole_sequence
from bench3r.models.preprocess import scene_images

PROBE_SCENES = 12  # at most
GROUP = 20  # views; matches beyond are rare (paper)
SENSITIVE_RATIO = (
    1.05  # a layer whose error grows by more than this when its factor is raised is sensitive
)
PUBLISHED = {
    "vggt": (11, 16, 24),
    "pi3": (11, 16, 18),
    "depth_anything_3": (3, 12, 14),
}  # first, last sensitive, of layers


class Options(MethodOptions):
    """Factors and what they apply to. None: by the published schedule."""

    query_factor: int | None = Field(
        None, ge=1, description="r_Q; None: 1 to 100 views, 2 to 300, 3 to 500, then 4"
    )
    kv_factor: int | None = Field(
        None, ge=1, description="r_KV; None: 1 to 100 views, then ceil(views / 40)"
    )
    layers: Literal["adaptive", "fixed"] = Field(
        "adaptive", description="larger r_KV in layers that are not sensitive"
    )
    insensitive: int = Field(
        3, ge=1, description="r_KV of insensitive layers is so many times larger"
    )
    sensitive: Literal["probe", "published"] = Field(
        "probe", description="where the sensitive layers come from"
    )
    symmetric: int | None = Field(
        None, ge=1, description="control: queries, keys and values all merged by this factor"
    )
    stride: Literal["frames", "staggered"] = Field(
        "frames", description="whole views, or tokens staggered over views"
    )
    group: int | None = Field(
        None, ge=1, description="consecutive views in which queries are matched; None: 20 at most"
    )
    probe_factor: int = Field(2, ge=1, description="r_KV of all layers in the probe")
    probe_raise: int = Field(2, ge=2, description="and so many times more in the probed layer")

    def query(self, views: int) -> int:
        """r_Q for a scene of ``views``."""
        if self.symmetric or self.query_factor:
            return self.symmetric or self.query_factor or 1
        return next((r for limit, r in ((100, 1), (300, 2), (500, 3)) if views <= limit), 4)

    def key_value(self, views: int, sensitive: bool) -> int:
        """r_KV for a scene of ``views`` in a layer that is ``sensitive`` or not."""
        base = self.kv_factor or (1 if views <= 100 else math.ceil(views / 40))
        return base if sensitive or self.layers == "fixed" else base * self.insensitive


def published_sensitive(backbone: str, layers: int) -> list[bool]:
    """Which of ``layers`` global layers are sensitive by the paper; other depths take the same share of the trunk."""
    first, last, of = PUBLISHED.get(backbone, PUBLISHED["vggt"])
    return [first <= i * of / layers <= last for i in range(layers)]


class SparkCore(Core):
    """Global attention of fewer queries to fewer keys."""

    ratio: Tensor

    def __init__(self, options: Options, sensitive: bool) -> None:
        super().__init__()
        self.options = options
        self.register_buffer(
            "ratio", torch.tensor(2.0 if sensitive else 1.0)
        )  # error when raised over error before
        self.forced: int | None = None  # r_KV that the probe asks for

    def factors(self, views: int) -> tuple[int, int]:
        """r_Q and r_KV for a scene of ``views``."""
        if self.forced is not None:
            return 1, self.forced
        sensitive = bool(self.ratio > SENSITIVE_RATIO) if not self.ratio.is_meta else True
        return self.options.query(views), self.options.key_value(views, sensitive)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        layout = whole_sequence(layout, q.shape[2], "spark3r")
        query, key_value = self.factors(layout.views)
        symmetric = self.options.symmetric and self.forced is None
        kept = None if symmetric or key_value == 1 else self.kept(layout, key_value, q.device)
        if query == 1:
            return F.scaled_dot_product_attention(q, _take(k, kept), _take(v, kept))
        outputs = []
        for b in range(len(q)):
            plan = self.plan(k[b].transpose(0, 1).flatten(1), layout, query)
            keys, values = (
                (plan.merge(t[b]) for t in (k, v))
                if symmetric
                else (_take(k[b], kept), _take(v[b], kept))
            )
            merged = F.scaled_dot_product_attention(
                plan.merge(q[b])[None], keys[None], values[None]
            )[0]
            outputs.append(plan.unmerge(merged))
        return torch.stack(outputs)

    def kept(self, layout: TokenLayout, factor: int, device: torch.device) -> Tensor:
        """Tokens whose keys and values stay: the first view, special tokens, and every ``factor``-th view or patch."""
        view = torch.arange(layout.views, device=device)[:, None]
        patch = torch.arange(layout.height * layout.width, device=device)
        stay = (
            (view % factor == 0)
            if self.options.stride == "frames"
            else ((patch + view) % factor == 0)
        )
        stay = (stay | (view == 0)).expand(layout.views, len(patch))
        special = stay.new_ones(layout.views, layout.special)
        return torch.cat([special, stay], 1).flatten().nonzero().squeeze(1)

    def plan(self, metric: Tensor, layout: TokenLayout, factor: int) -> MergePlan:
        """Merging of the patches of each group of views, matched by ``metric`` [N, C]."""
        token = torch.arange(layout.views * layout.tokens_per_view, device=metric.device).view(
            layout.views, -1
        )
        patches, size = token[:, layout.special :], self.options.group or min(GROUP, layout.views)
        if size > layout.views:
            raise ValueError(
                f"spark3r: group is {size} views, but the scene has only {layout.views}"
            )
        groups = [
            g[g >= layout.tokens_per_view] for g in (p.flatten() for p in patches.split(size))
        ]
        alone = torch.cat([token[0], token[1:, : layout.special].flatten()])
        return strided_plan(metric, groups, alone, factor)


def _take(x: Tensor, index: Tensor | None) -> Tensor:
    return x if index is None else x.index_select(-2, index)


class Spark3R(Method):
    """Asymmetric reduction of queries and of keys and values in global attention; no training."""

    name = "spark3r"
    label = "Spark3R"
    hooks = ("attention",)
    source = "Spark3R: Asymmetric Token Reduction Makes Fast Feed-Forward 3D Reconstruction, 2026 (arXiv 2605.06270)"
    Options = Options
    untrained_options = ("query_factor", "kv_factor", "insensitive", "group", "sensitive")

    @property
    def needs_training(self) -> bool:
        """The probe runs in the train stage, unless the layers are given."""
        return (
            self.options.layers == "adaptive"
            and self.options.sensitive == "probe"
            and not self.options.symmetric
        )

    def cost(self, dense: BackboneCost) -> Cost:
        o, sensitive = self.options, published_sensitive(dense.backbone, dense.pairs)
        patches, n = dense.tokens - dense.special, dense.sequence
        query = o.query(dense.frames)
        size = min(o.group or GROUP, dense.frames)
        views = [
            min(size, dense.frames - start) - (start == 0) for start in range(0, dense.frames, size)
        ]
        rows = [
            (v * patches, math.ceil(v * patches / query)) for v in views
        ]  # tokens and destinations of each group
        merged = dense.tokens + (dense.frames - 1) * dense.special + sum(m for _, m in rows)
        matching = sum((tokens - m) * m for tokens, m in rows) if query > 1 else 0

        def core(a: AttentionShape) -> float:
            factor = o.key_value(dense.frames, sensitive[a.layer])
            whole = (
                math.ceil(dense.frames / factor)
                if o.stride == "frames"
                else 1 + (dense.frames - 1) / factor
            )
            keys = merged if o.symmetric else dense.frames * dense.special + whole * patches
            return float(matching * a.dim + 2 * (merged if query > 1 else n) * keys * a.dim)

        adaptive = o.layers == "adaptive" and not o.symmetric
        return Cost(dense.with_global(core), "sensitive layers as published" if adaptive else "")

    def apply(self, model: Any) -> None:
        modules = list(attention_modules(model, "global"))
        sensitive = published_sensitive(model.name, len(modules))
        for (_, attention), one in zip(modules, sensitive, strict=True):
            attention.core = SparkCore(self.options, one)

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """The sensitivity probe: each layer's error ratio when its r_KV is raised while all others keep theirs.

        The error is the mean distance of the world points from those of dense attention, in units of their spread.
        """
        model = load_backbone(context)
        images = [scene_images(s, context.device) for s in islice(scenes, PROBE_SCENES)]
        if not images:
            raise Bench3RError("spark3r: the sensitivity probe needs at least one scene")
        with torch.inference_mode():
            dense = [_points(model(x)) for x in images]
            self.apply(model)
            cores: list[Any] = [
                attention.core for _, attention in attention_modules(model, "global")
            ]
            low, high = (
                self.options.probe_factor,
                self.options.probe_factor * self.options.probe_raise,
            )
            set_factors(cores, low, None, low)
            before = _error(model, images, dense)
            ratios = {}
            for i, (name, _) in enumerate(attention_modules(model, "global")):
                set_factors(cores, low, i, high)
                ratios[f"{name}.core.ratio"] = torch.tensor(
                    _error(model, images, dense) / max(before, 1e-12)
                )
        return ratios


def set_factors(cores: list[Any], factor: int, special: int | None, raised: int) -> None:
    """Force r_KV ``factor`` on every core and ``raised`` on the one numbered ``special``."""
    for i, core in enumerate(cores):
        core.forced = raised if i == special else factor


def _points(out: Any) -> Tensor:
    from bench3r.models.geometry import unproject

    points = (
        out.world_points
        if out.world_points is not None
        else unproject(out.depth, out.extrinsics, out.intrinsics)
    )
    return points.flatten(0, 3)


def _error(model: Any, images: list[Tensor], dense: list[Tensor]) -> float:
    total = 0.0
    for x, truth in zip(images, dense, strict=True):
        spread = (truth - truth.mean(0)).norm(dim=-1).mean()
        total += float((_points(model(x)) - truth).norm(dim=-1).mean() / spread)
    return total / len(images)
