"""Spark3R: fewer queries and, independently, fewer keys and values in global attention.

Queries are merged inside groups of neighbouring views, keys and values are pruned over time, more
so in layers that are not sensitive. Training-free; sensitive layers are found by a probe of the
backbone itself.

Gaps of the paper are closed as follows, each by an option or a note: keys and values of every
r_KV-th view are kept (or tokens staggered over views); the first view and all special tokens are
never merged or pruned; tokens are matched by their keys over all heads; every r_Q-th patch of a
group is a destination, so that exactly 1 / r_Q of the queries remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, MethodOptions
from bench3r.api.presentation import Fact, Facts, FramesTable, LayerValues, OptionMap
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData
from bench3r.attention.matches import MatchWatch
from bench3r.attention.merging import MergePlan, StridedTokens, strided_plan, strided_tokens
from bench3r.attention.places import Places
from bench3r.models.backbones import BackbonePredictor, load_backbone
from bench3r.models.geometry import unproject
from bench3r.models.layers import Core, TokenLayout, attention_modules, whole_sequence
from bench3r.models.preprocess import scene_images

PROBE_SCENES = 12  # at most
# r_KV of all layers in the probe, and how much more in the probed one: as published, 32 -> 256; at
# smaller scales, whose scenes have a few views, smaller
PUBLISHED_PROBE = (32, 8)
SMALL_PROBE = (2, 2)
# Views of a scene in the published probe: four stay at 32 (the first and every 32nd), one at 256.
PROBE_VIEWS = 128
POINTS_STRIDE = 7  # of the pixels whose points are compared at that length, in rows and columns
GROUP = 20  # views; matches beyond are rare (paper)
# a layer is sensitive when its error grows by more than this as its factor is raised
SENSITIVE_RATIO = 1.05
# by backbone: first and last sensitive layer, of how many layers
PUBLISHED = {
    "vggt": (11, 16, 24),
    "pi3": (11, 16, 18),
    "depth_anything_3": (3, 12, 14),
}
QUERY_FACTORS = ((100, 1), (300, 2), (500, 3))  # published: up to so many views, r_Q
QUERY_FACTOR = 4  # beyond


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
    probe_factor: int | None = Field(
        None,
        ge=1,
        description="r_KV of all layers in the probe; None: 32 as published at full scale, else 2",
    )
    probe_raise: int | None = Field(
        None,
        ge=2,
        description="and so many times more in the probed layer; None: 8 at full scale, else 2",
    )

    def probe(self, scale: str) -> tuple[int, int]:
        """r_KV of all layers in the probe, and of the probed one."""
        factor, more = PUBLISHED_PROBE if scale == "full" else SMALL_PROBE
        factor = self.probe_factor or factor
        return factor, factor * (self.probe_raise or more)

    def query(self, views: int) -> int:
        """r_Q for a scene of ``views``."""
        chosen = self.symmetric or self.query_factor
        if chosen:
            return chosen
        return next((factor for most, factor in QUERY_FACTORS if views <= most), QUERY_FACTOR)

    def key_value(self, views: int, sensitive: bool) -> int:
        """r_KV for a scene of ``views`` in a layer that is ``sensitive`` or not."""
        base = self.kv_factor or (1 if views <= 100 else math.ceil(views / 40))
        return base if sensitive or self.layers == "fixed" else base * self.insensitive

    def group_size(self, views: int) -> int:
        """Consecutive views of a scene of ``views`` whose queries are merged with each other."""
        return self.group or min(GROUP, views)


def published_sensitive(backbone: str, layers: int) -> list[bool]:
    """Which of ``layers`` global layers are sensitive by the paper.

    Trunks of another depth take the same share.
    """
    first, last, of = PUBLISHED.get(backbone, PUBLISHED["vggt"])
    return [first <= i * of / layers <= last for i in range(layers)]


def kept_tokens(options: Options, layout: TokenLayout, factor: int) -> tuple[Tensor]:
    """Indices of the tokens whose keys and values stay, [M].

    The first view, special tokens, and every ``factor``-th view or patch.
    """
    view = torch.arange(layout.views)[:, None]
    patch = torch.arange(layout.height * layout.width)
    place = view if options.stride == "frames" else patch + view
    stay = place % factor == 0
    stay = (stay | (view == 0)).expand(layout.views, len(patch))
    special = stay.new_ones(layout.views, layout.special)
    return (torch.cat([special, stay], 1).flatten().nonzero().squeeze(1),)


def grouped_tokens(options: Options, layout: TokenLayout, factor: int) -> tuple[Tensor, ...]:
    """Indices [n] of the tokens that stay, then targets and sources of the groups, by length.

    Raises ValueError when a group has more views than the scene.
    """
    size = options.group_size(layout.views)
    if size > layout.views:
        raise ValueError(f"spark3r: group is {size} views, but the scene has only {layout.views}")
    count = layout.views * layout.tokens_per_view
    token = torch.arange(count).view(layout.views, -1)
    groups = []
    for patches in token[:, layout.special :].split(size):
        groups.append(patches[patches >= layout.tokens_per_view])  # the first view stays whole
    alone = torch.cat([token[0], token[1:, : layout.special].flatten()])
    found = strided_tokens(groups, alone, factor)
    return (alone, *(index for pair in found.groups for index in pair))


class SparkPlaces:
    """Where the tokens are that stay, and those of each group of views; shared by all layers."""

    def __init__(self, options: Options) -> None:
        self.kept = Places(partial(kept_tokens, options))
        self.groups = Places(partial(grouped_tokens, options))


class SparkCore(Core):
    """Global attention of fewer queries to fewer keys."""

    ratio: Tensor

    def __init__(self, options: Options, sensitive: bool, places: SparkPlaces) -> None:
        super().__init__()
        self.options = options
        self.places = places
        self.sensitive: bool | None = None  # what the ratio says, once it was looked at
        # error with a raised factor over the error before
        self.register_buffer("ratio", torch.tensor(2.0 if sensitive else 1.0))
        self.forced: int | None = None  # r_KV that the probe asks for

    def factors(self, views: int) -> tuple[int, int]:
        """r_Q and r_KV for a scene of ``views``."""
        if self.forced is not None:
            return 1, self.forced
        if self.sensitive is None:
            self.sensitive = self.ratio.is_meta or bool(self.ratio > SENSITIVE_RATIO)
        return self.options.query(views), self.options.key_value(views, self.sensitive)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.sensitive = None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        layout = whole_sequence(layout, q.shape[2], "spark3r")
        query, key_value = self.factors(layout.views)
        symmetric = self.options.symmetric is not None and self.forced is None
        keys = k
        values = v
        if key_value > 1 and not symmetric:
            (kept,) = self.places.kept(layout, q.device, key_value)
            keys = k.index_select(-2, kept)
            values = v.index_select(-2, kept)
        if query == 1:
            return F.scaled_dot_product_attention(q, keys, values)
        outputs = []
        for b in range(len(q)):
            plan = self.plan(k[b].transpose(0, 1).flatten(1), layout, query)
            rows = (keys[b], values[b])
            if symmetric:
                rows = (plan.merge(k[b]), plan.merge(v[b]))
            out = F.scaled_dot_product_attention(
                plan.merge(q[b])[None], rows[0][None], rows[1][None]
            )
            outputs.append(plan.unmerge(out[0]))
        return outputs[0][None] if len(outputs) == 1 else torch.stack(outputs)

    def plan(self, metric: Tensor, layout: TokenLayout, factor: int) -> MergePlan:
        """Merging of the patches of each group of views, matched by ``metric`` [N, C].

        Raises ValueError when a group has more views than the scene.
        """
        alone, *split = self.places.groups(layout, metric.device, factor)
        groups = tuple(zip(split[::2], split[1::2], strict=True))
        return strided_plan(metric, StridedTokens(alone, groups))


class SparkPredictor(BackbonePredictor):
    """The backbone with fewer queries and keys, which explains what that stands on."""

    def explain(self, images: Tensor, out: Reconstruction) -> Facts:
        """How alike tokens of different views are, by another pass of the trunk.

        ``out`` is the reconstruction of ``images`` [1, S, 3, H, W].
        """
        watch = MatchWatch(kept_by)
        with watch.over(self.model):
            self.model.run_trunk(images)
        found = watch.almost_all()
        facts: Facts = {}
        if found is not None:
            facts = {"kv_match_cosine": found.cosine, "query_match_frames": found.frames}
        return facts | super().explain(images, out)


def kept_by(core: Any, layout: TokenLayout, device: torch.device) -> Tensor | None:
    """Indices [M] of the tokens whose keys stay in the layer of ``core``; None: of all."""
    _, factor = core.factors(layout.views)
    if factor == 1:
        return None
    kept: Tensor = core.places.kept(layout, device, factor)[0]
    return kept


SECTIONS = (
    OptionMap(
        rows="query_factor",
        columns="kv_factor",
        row_title="query factor",
        column_title="key / value factor",
        file="spark3r_factors",
        title="Spark3R: quality over query and key/value factors.",
    ),
    LayerValues(
        file="spark3r_sensitivity",
        title="Spark3R: sensitivity of the global layers.",
        label="error when raised / before",
        threshold=SENSITIVE_RATIO,
    ),
    FramesTable(file="spark3r_frames", title="Spark3R over frame counts"),
)


class Spark3R(Method):
    """Asymmetric reduction of queries and of keys and values in global attention; no training."""

    name = "spark3r"
    label = "Spark3R"
    hooks = ("attention",)
    source = (
        "Spark3R: Asymmetric Token Reduction Makes Fast Feed-Forward 3D Reconstruction, "
        "2026 (arXiv 2605.06270)"
    )
    Options = Options
    facts = (
        Fact("kv_match_cosine", "cosine of keys with the most similar kept one: 95 % exceed it"),
        Fact("query_match_frames", "95 % of patches resemble one within so many views", "frames"),
    )
    untrained_options = ("query_factor", "kv_factor", "insensitive", "group", "sensitive")
    sections = SECTIONS

    @property
    def needs_training(self) -> bool:
        """The probe runs in the train stage, unless the layers are given."""
        return self._adaptive and self.options.sensitive == "probe"

    @property
    def _adaptive(self) -> bool:
        """Whether r_KV differs between layers."""
        return self.options.layers == "adaptive" and not self.options.symmetric

    def build(self, context: BuildContext) -> SparkPredictor:
        return SparkPredictor(self, context)

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        frames = unchanged.frames
        patches = unchanged.tokens - unchanged.special
        sensitive = published_sensitive(unchanged.backbone, unchanged.pairs)
        merged, matching = self._merging(unchanged)
        queries = merged if options.query(frames) > 1 else unchanged.sequence

        def core(a: AttentionShape) -> float:
            factor = options.key_value(frames, sensitive[a.layer])
            whole = math.ceil(frames / factor)  # views whose patches all stay
            if options.stride == "staggered":
                whole = 1 + (frames - 1) / factor  # as many patches as of so many views
            keys = merged if options.symmetric else frames * unchanged.special + whole * patches
            return float(matching * a.dim + 2 * queries * keys * a.dim)

        assumed = "sensitive layers as published" if self._adaptive else ""
        return Cost(unchanged.with_global(core), assumed)

    def _merging(self, unchanged: BackboneCost) -> tuple[int, int]:
        """Tokens after merging, and MACs per channel of finding what is merged."""
        frames = unchanged.frames
        patches = unchanged.tokens - unchanged.special
        query = self.options.query(frames)
        size = min(self.options.group_size(frames), frames)
        merged = unchanged.tokens + (frames - 1) * unchanged.special
        matching = 0
        for start in range(0, frames, size):
            views = min(size, frames - start) - (start == 0)  # the first view stays whole
            tokens = views * patches
            destinations = math.ceil(tokens / query)
            merged += destinations
            matching += (tokens - destinations) * destinations
        return merged, matching if query > 1 else 0

    def apply(self, model: Any) -> None:
        modules = list(attention_modules(model, "global"))
        sensitive = published_sensitive(model.name, len(modules))
        places = SparkPlaces(self.options)
        for (_, attention), one in zip(modules, sensitive, strict=True):
            attention.core = SparkCore(self.options, one, places)

    def fit_frames(self, scale: str) -> int | None:
        """Enough views for the published factors to differ, where they are used."""
        return PROBE_VIEWS if scale == "full" else None

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, Tensor]:
        """The sensitivity probe: every layer's r_KV is raised while all others keep theirs.

        The error is the mean distance of the world points from those of dense attention, in units
        of their spread. Scene by scene, so that one is in memory at a time. Returns a number [] for
        each core. Raises Bench3RError without scenes.
        """
        model = load_backbone(context)
        self.apply(model)
        named = list(attention_modules(model, "global"))
        cores: list[Any] = [attention.core for _, attention in named]
        stride = POINTS_STRIDE if context.scale == "full" else 1
        factors = self.options.probe(context.scale)
        before: list[float] = []
        raised: list[list[float]] = [[] for _ in cores]
        with torch.inference_mode():
            for scene in islice(scenes, PROBE_SCENES):
                images = scene_images(scene, context.device)
                errors = iter(_scene_errors(model, cores, images, factors, stride))
                before.append(next(errors))
                for layer in raised:
                    layer.append(next(errors))
        if not before:
            raise Bench3RError("spark3r: the sensitivity probe needs at least one scene")
        whole = max(sum(before), 1e-12)
        ratios = {}
        for (name, _), layer in zip(named, raised, strict=True):
            ratios[f"{name}.core.ratio"] = torch.tensor(sum(layer) / whole)
        return ratios


def _points(out: Reconstruction, stride: int) -> Tensor:
    """World points [N, 3] of a reconstruction, of every ``stride``-th pixel."""
    points = out.world_points
    if points is None:
        points = unproject(out.depth, out.extrinsics, out.intrinsics)
    return points[:, :, ::stride, ::stride].flatten(0, 3)


def _scene_errors(
    model: Any, cores: list[Any], images: Tensor, factors: tuple[int, int], stride: int
) -> Iterator[float]:
    """Relative distances of world points of one scene from those of dense attention.

    First with all ``cores`` at the first of the ``factors``, then with each raised to the second;
    ``images`` [1, S, 3, H, W].
    """

    def points() -> Tensor:
        return _points(model(images), stride)

    for core in cores:
        core.forced = 1  # every token
    dense = points()
    spread = (dense - dense.mean(0)).norm(dim=-1).mean()
    for core in cores:
        core.forced = factors[0]
    yield float((points() - dense).norm(dim=-1).mean() / spread)
    for core in cores:
        core.forced = factors[1]
        yield float((points() - dense).norm(dim=-1).mean() / spread)
        core.forced = factors[0]
