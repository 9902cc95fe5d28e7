"""VGG-T³: a small network per head takes the place of the keys and values of global attention.

It is trained on them at test time, so that time and state no longer grow with the square of the
views. This memory can be frozen and asked about images that it has not seen, which is visual
localisation. The inner network and its update are LaCT's (bench3r/attention/fast_weights.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, MethodOptions, Predictor, TrainedMethod
from bench3r.api.presentation import Fact, FactColumn, FactValue, OptionTable
from bench3r.api.reconstruction import Reconstruction
from bench3r.attention.fast_weights import FastWeights, initial_weights, unit
from bench3r.attention.view_shards import ViewShards
from bench3r.metrics.pose import pairs, relative_pose_errors
from bench3r.models.backbones import BackbonePredictor
from bench3r.models.layers import (
    Attention,
    Core,
    TokenLayout,
    apply_rope,
    attention_modules,
    in_one_precision,
    whole_sequence,
)
from bench3r.models.trunk import TrunkOutput
from bench3r.training.distillation import cosine_weight, distillation_table

CHUNK = {"gpu": 20 * 37 * 37, "cpu": 2048}  # tokens
Stored = tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]  # keys, values, step sizes
BASE_RATE = 0.01  # learned step sizes start here
WEIGHT_SEED = 0  # of the fast networks' first weights, which are never trained


class Options(MethodOptions):
    """The memory and its test-time training."""

    steps: int | None = Field(
        None, ge=1, description="test-time steps; None: 1 in training, 2 + images / 1000 after it"
    )
    ratio: int = Field(4, ge=1, description="hidden width of the fast network over the head's")
    chunk: int | None = Field(
        None,
        ge=1,
        description="tokens whose gradients and outputs are computed at once; None: "
        "20 views of 37 x 37 as released, on a CPU what its caches hold",
    )
    newton_schulz: int = Field(5, ge=0, description="iterations that orthogonalise each gradient")
    distill: tuple[float, float] | None = Field(
        None,
        description="weight of a distillation of attention outputs, first and last; None: there is "
        "no teacher, as published",
    )
    short_conv: bool = Field(
        True, description="3 x 3 convolution of the values over the patches of each view"
    )
    layers: int | None = Field(
        None, ge=0, description="global layers that are converted, counted from the last; None: all"
    )
    localise: int = Field(
        0, ge=0, description="last views that are only looked up in the memory of the others"
    )

    def test_steps(self, views: int, training: bool) -> int:
        """Steps for a scene of ``views``."""
        if self.steps is not None:
            return self.steps
        return 1 if training else 2 + views // 1000


class MemoryCore(Core):
    """Attention by a memory.

    ``mode``: "fit" makes a memory and reads it, "store" also keeps it, "recall" reads the one kept.
    """

    w0: Tensor
    w1: Tensor
    w2: Tensor

    def __init__(self, heads: int, head_dim: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.heads = heads
        width = heads * head_dim
        if options.short_conv:
            self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
            nn.init.zeros_(self.conv.weight)
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                self.conv.weight[:, :, 1, 1] = 1.0  # values start unchanged
        self.lr_fc = nn.Linear(width, 3 * heads)
        generator = torch.Generator().manual_seed(WEIGHT_SEED)
        start = initial_weights(heads, head_dim, options.ratio * head_dim, generator)
        self.register_buffer("w0", start.w0)
        self.register_buffer("w1", start.w1)
        self.register_buffer("w2", start.w2)
        self.mode: Literal["fit", "store", "recall"] = "fit"
        self.memory: FastWeights | None = None
        self.shards: ViewShards | None = None  # where views are shared by several processes

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        raise ValueError(
            "vgg_t3 makes its own queries and keys: it cannot run under a schedule that packs "
            "tokens"
        )

    def short_convolution(self, v: Tensor, layout: TokenLayout) -> Tensor:
        """Values [B, N, C] after a depth-wise 3 x 3 convolution over each view's patches.

        Special tokens pass by.
        """
        views = v.unflatten(1, (layout.views, -1)).flatten(0, 1)  # [B * S, T, C]
        special = views[:, : layout.special]
        patches = views[:, layout.special :]
        grid = patches.transpose(1, 2).unflatten(2, (layout.height, layout.width))
        patches = self.conv(grid).flatten(2).transpose(1, 2)
        return torch.cat([special, patches], 1).unflatten(0, (-1, layout.views)).flatten(1, 2)

    def inputs(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B * heads, N, d] of tokens ``x`` [B, N, C].

        Queries and keys have unit length; all are in the precision in which they are multiplied.
        """
        q, k, v = attention.qkv(x).chunk(3, -1)
        if self.options.short_conv:
            v = self.short_convolution(v, layout)
        q, k, v = (F.silu(t).unflatten(-1, (self.heads, -1)) for t in (q, k, v))
        if rope is not None:
            rope = rope.to(q.dtype)
            q = apply_rope(q, rope)
            k = apply_rope(k, rope)
        q, k, v = in_one_precision(unit(q), unit(k), v)
        return by_head(q), by_head(k), by_head(v)

    def rates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes [B * heads, N, 1] of tokens ``x`` [B, N, C] for the three matrices."""
        rate = F.softplus(self.lr_fc(x) + math.log(math.expm1(BASE_RATE)))
        first, second, third = (part[..., None] for part in rate.chunk(3, -1))  # [B, N, heads, 1]
        return by_head(first), by_head(second), by_head(third)

    def attend(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout | None
    ) -> Tensor:
        layout = whole_sequence(layout, x.shape[1], "vgg_t3")
        chunk = self.options.chunk or CHUNK["cpu" if x.device.type == "cpu" else "gpu"]
        queries, stored = self._project(attention, x, rope, layout, chunk)
        if self.mode == "recall":
            memory = self._recalled()
        else:
            shards = self.shards
            views = shards.views if shards else layout.views
            steps = self.options.test_steps(views, self.training)
            start = FastWeights(self.w0, self.w1, self.w2).expand(len(x))
            total = shards.sum if shards else None
            memory = start.fit(stored, steps, chunk, self.options.newton_schulz, total)
            self.memory = memory if self.mode == "store" else None
        del stored  # what is kept of keys and values is the memory
        parts = []
        while queries:  # the outputs take the place of the queries
            parts += [memory.apply(part) for part in queries.pop(0).split(chunk, 1)]
        out = torch.cat(parts, 1)  # [B * heads, N, d]
        return out.unflatten(0, (len(x), self.heads)).transpose(1, 2).flatten(2)

    def _project(
        self,
        attention: Attention,
        x: Tensor,
        rope: Tensor | None,
        layout: TokenLayout,
        chunk: int,
    ) -> tuple[list[Tensor], list[Stored]]:
        """Queries, and what the memory is fitted to, of some views at a time.

        Intermediate results stay small that way.
        """
        queries: list[Tensor] = []
        stored: list[Stored] = []
        tokens = layout.tokens_per_view
        views = max(1, chunk // tokens)  # at once
        for first in range(0, layout.views, views):
            part = replace(layout, views=min(views, layout.views - first))
            rows = slice(first * tokens, (first + part.views) * tokens)
            position = None if rope is None else rope[:, rows]
            q, k, v = self.inputs(attention, x[:, rows], position, part)
            queries.append(q)
            if self.mode != "recall":
                stored.append((k, v, self.rates(x[:, rows])))
        return queries, stored

    def _recalled(self) -> FastWeights:
        """The memory that was kept."""
        if self.memory is None:
            raise ValueError(
                "vgg_t3 was asked to localise before it has a memory: run it on mapped views "
                "first (store)"
            )
        return self.memory


def by_head(x: Tensor) -> Tensor:
    """Tokens [B, N, heads, d] by head [B * heads, N, d]."""
    return x.transpose(1, 2).flatten(0, 1)


def set_mode(model: Any, mode: Literal["fit", "store", "recall"]) -> None:
    """Tell every memory of ``model`` what to do with the next images."""
    for _, attention in attention_modules(model, "global"):
        if isinstance(attention.core, MemoryCore):
            attention.core.mode = mode


def run_sharded(
    model: Any, shards: ViewShards, images: Tensor, keep_all: bool = False
) -> tuple[TrunkOutput, TokenLayout]:
    """As the model's ``run_trunk`` of ``images`` [B, S, 3, H, W], each process on its own views.

    All of them get all taps. A view that is not the first of the scene never counts as first: the
    first one is embedded with it.
    """
    model.check_images(images)
    shards.start(images.shape[1])
    own = images[:, shards.own()]
    late = shards.rank > 0 and model.has_reference_view
    with model.autocast(images.device):
        tokens, layout = model.embed(torch.cat([images[:, :1], own], 1) if late else own)
        tokens = tokens[:, int(late) :]
        layout = replace(layout, views=own.shape[1])
        out = model.trunk.run(tokens, layout, model.taps, model.schedule, keep_all, own)
    taps = {pair: shards.join(tap.float()) for pair, tap in out.taps.items()}
    return replace(out, taps=taps), replace(layout, views=images.shape[1])


class LocalisingPredictor(BackbonePredictor):
    """Maps the first views of a scene and looks the last ones up in the frozen memory."""

    def __init__(self, method: VGGT3, context: BuildContext) -> None:
        super().__init__(method, context)
        self.held_out = method.options.localise

    def __call__(self, images: Tensor, **conditions: Any) -> Reconstruction:
        """The reconstruction of ``images`` [1, S, 3, H, W].

        Raises ValueError for a scene with no view left to map.
        """
        views = images.shape[1] - self.held_out
        if views < 1:
            raise ValueError(
                f"localise is {self.held_out}, but the scene has only {images.shape[1]} views"
            )
        set_mode(self.model, "store")
        mapped, layout = self.model.run_trunk(images[:, :views])
        set_mode(self.model, "recall")
        found = localise(self.model, images[:, :1], images[:, views:])
        set_mode(self.model, "fit")
        taps = {i: torch.cat([t, found.taps[i]], 1) for i, t in mapped.taps.items()}
        out = TrunkOutput(taps, facts={"held_out": list(range(views, images.shape[1]))})
        return self.model.run_heads(out, replace(layout, views=images.shape[1]), images)

    def explain(self, images: Tensor, out: Reconstruction) -> dict[str, FactValue]:
        """How far the poses of held-out views are from those of a joint pass over all views.

        ``out`` is the reconstruction of ``images`` [1, S, 3, H, W].
        """
        found = _square(out.extrinsics[0])
        joint = _square(self.model(images).extrinsics[0])
        rotation, translation = relative_pose_errors(found, joint)
        mapped = images.shape[1] - self.held_out
        first, second = pairs(images.shape[1]).T
        across = (first < mapped) & (second >= mapped)
        return {
            "joint_rotation_deg": float(rotation[across].mean()),
            "joint_translation_deg": float(translation[across].mean()),
            **super().explain(images, out),
        }


def _square(extrinsics: Tensor) -> np.ndarray:
    """World to camera [S, 3, 4] -> float64 [S, 4, 4]."""
    w2c = np.tile(np.eye(4), (len(extrinsics), 1, 1))
    w2c[:, :3] = extrinsics.double().cpu().numpy()
    return w2c


def localise(model: Any, reference: Tensor, images: Tensor) -> TrunkOutput:
    """Trunk outputs of unseen ``images`` [B, n, 3, H, W] from frozen memories.

    ``reference`` [B, 1, 3, H, W] is the first mapped view: none of ``images`` must count as first.
    """
    with model.autocast(images.device):  # as the mapped views were run
        tokens, layout = model.embed(torch.cat([reference, images], 1))
        layout = replace(layout, views=images.shape[1])
        out = model.run_schedule(
            model.trunk.inputs(tokens[:, 1:], layout, model.taps, images=images)
        )
    return TrunkOutput(out.taps)


LOCALISATION = OptionTable(
    option="localise",
    file="localisation",
    title="Visual localisation: views that were not mapped",
    columns=("localisation/rot_deg", "localisation/trans_deg", "localisation/within_15"),
    facts=(
        FactColumn("rotation to joint (deg)", "joint_rotation_deg", form=".1f"),
        FactColumn("translation to joint (deg)", "joint_translation_deg", form=".1f"),
    ),
    costs=False,
    notes=(
        "Errors of pairs of a mapped and a held-out view. Methods without a memory see all views "
        "together; their held-out view is the last. to joint: distance from where the same model "
        "puts the view when it sees all of them.",
    ),
)


class VGGT3(TrainedMethod):
    """Test-time-trained memories in place of global attention."""

    name = "vgg_t3"
    label = "VGG-T³"
    hooks = ("attention",)
    source = "VGG-T³: Offline Feed-Forward 3D Reconstruction at Scale, CVPR 2026 (arXiv 2602.23361)"
    Options = Options
    untrained_options = ("steps", "chunk", "localise")
    facts = (
        Fact("held_out", "views that were only looked up in the memory of the others"),
        Fact("joint_rotation_deg", "rotation of those views from a joint pass over all", "deg"),
        Fact("joint_translation_deg", "direction of those views from a joint pass over all", "deg"),
    )
    sections = (LOCALISATION, distillation_table())

    def check(self, backbone: str, scale: str) -> None:
        """Raises Bench3RError for localisation where a reference view is chosen among all views."""
        if self.options.localise and backbone == "depth_anything_3":
            raise Bench3RError(
                "vgg_t3: localise needs a backbone whose poses do not depend on a chosen reference "
                "view"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        n = unchanged.sequence
        patches = unchanged.frames * (unchanged.tokens - unchanged.special)
        first = 0 if options.layers is None else unchanged.pairs - options.layers
        steps = options.test_steps(unchanged.frames, False)

        def core(a: AttentionShape) -> float:
            if a.layer < first:
                return a.dense
            d = a.dim // a.heads
            hidden = options.ratio * d
            small = min(d, hidden)
            # per matrix: the Gram matrix, its square and the product
            newton = options.newton_schulz * (2 * d * hidden * small + small**3)
            fitting = steps * a.heads * (6.0 * n * d * hidden + 3 * newton)
            reading = 3.0 * n * hidden * a.dim
            convolution = 9.0 * patches * a.dim if options.short_conv else 0.0
            rates = 3.0 * n * a.dim * a.heads
            return fitting + reading + convolution + rates

        return Cost(unchanged.with_global(core))

    def apply(self, model: Any) -> None:
        """Convert global attention and leave only the converted modules to train."""
        model.requires_grad_(False)
        modules = [attention for _, attention in attention_modules(model, "global")]
        count = self.options.layers
        if count is None:
            count = len(modules)
        for attention in modules[max(0, len(modules) - count) :]:
            head_dim = attention.proj.in_features // attention.heads
            attention.core = MemoryCore(attention.heads, head_dim, self.options)
            attention.requires_grad_(True)

    def shard_views(self, model: Any) -> ViewShards:
        """Share the views of every scene; global attention exchanges sums of gradients alone.

        Raises Bench3RError for a backbone that compares all views in another place, and where a
        part of global attention was left as it is.
        """
        cores = [attention.core for _, attention in attention_modules(model, "global")]
        memories = [core for core in cores if isinstance(core, MemoryCore)]
        if model.name == "depth_anything_3" or len(memories) < len(cores):
            raise Bench3RError(
                f"vgg_t3: views of {model.name} cannot be shared by processes: "
                "something else than its memories sees all of them"
            )
        shards = ViewShards()
        for memory in memories:
            memory.shards = shards
        model.run_trunk = partial(run_sharded, model, shards)
        return shards

    def teacher_weight(self, progress: float) -> float | None:
        if self.options.distill is None:
            return None
        first, last = self.options.distill
        return cosine_weight(progress, first, last)

    def build(self, context: BuildContext) -> Predictor | None:
        return LocalisingPredictor(self, context) if self.options.localise else None
