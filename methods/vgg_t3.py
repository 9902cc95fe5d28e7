"""VGG-T³: the keys and values of global attention become the weights of a small network per head, trained at test time.

Time and state no longer grow with the square of the views. The memory can be frozen and asked about images that it has
not seen, which is visual localisation. The inner network and its update are LaCT's (bench3r/attention/fast_weights.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, MethodOptions, Predictor, TrainedMethod
from bench3r.api.presentation import Fact, FactColumn, LayerValues, OptionTable
from bench3r.api.reconstruction import Reconstruction
from bench3r.attention.fast_weights import FastWeights, initial_weights, unit
from bench3r.metrics.pose import pairs, relative_pose_errors
from bench3r.models.backbones import BackbonePredictor
from bench3r.models.layers import (
    Attention,
    Core,
    TokenLayout,
    apply_rope,
    attention_modules,
    whole_sequence,
)
from bench3r.models.trunk import TrunkOutput
from bench3r.training.distillation import cosine_weight

CHUNK = {"gpu": 20 * 37 * 37, "cpu": 2048}  # tokens
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
    distill: tuple[float, float] = Field(
        (1.0, 0.1), description="weight of the attention distillation, first and last"
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
        self.options, self.heads = options, heads
        width = heads * head_dim
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.weight[:, :, 1, 1] = 1.0  # values start unchanged
        self.lr_fc = nn.Linear(width, 3 * heads)
        start = initial_weights(
            heads, head_dim, options.ratio * head_dim, torch.Generator().manual_seed(WEIGHT_SEED)
        )
        for name in ("w0", "w1", "w2"):
            self.register_buffer(name, getattr(start, name))
        self.mode: Literal["fit", "store", "recall"] = "fit"
        self.memory: FastWeights | None = None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        raise ValueError(
            "vgg_t3 makes its own queries and keys: it cannot run under a schedule that packs tokens"
        )

    def short_convolution(self, v: Tensor, layout: TokenLayout) -> Tensor:
        """Values [B, N, C] after a depth-wise 3x3 convolution over each view's patches; special tokens pass by."""
        views = v.unflatten(1, (layout.views, -1)).flatten(0, 1)  # [B * S, T, C]
        special, patches = views[:, : layout.special], views[:, layout.special :]
        grid = patches.transpose(1, 2).unflatten(2, (layout.height, layout.width))
        patches = self.conv(grid).flatten(2).transpose(1, 2)
        return torch.cat([special, patches], 1).unflatten(0, (-1, layout.views)).flatten(1, 2)

    def inputs(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B * heads, N, d] of tokens ``x`` [B, N, C]; queries and keys of unit length."""
        q, k, v = attention.qkv(x).chunk(3, -1)
        v = self.short_convolution(v, layout)
        q, k, v = (F.silu(t).unflatten(-1, (self.heads, -1)) for t in (q, k, v))
        if rope is not None:
            rope = rope.to(q.dtype)
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return tuple(t.transpose(1, 2).flatten(0, 1) for t in (unit(q), unit(k), v))  # type: ignore[return-value]

    def rates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes [B * heads, N, 1] of every token for the three matrices."""
        rate = F.softplus(self.lr_fc(x) + math.log(math.expm1(BASE_RATE)))
        return tuple(  # type: ignore[return-value]
            part.transpose(1, 2).flatten(0, 1)[..., None] for part in rate.chunk(3, -1)
        )

    def attend(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout | None
    ) -> Tensor:
        layout = whole_sequence(layout, x.shape[1], "vgg_t3")
        chunk = self.options.chunk or CHUNK["cpu" if x.device.type == "cpu" else "gpu"]
        views = max(
            1, chunk // layout.tokens_per_view
        )  # at once: what lives beside queries, keys and values stays small
        queries, stored = [], []
        for first in range(0, layout.views, views):
            part = replace(layout, views=min(views, layout.views - first))
            rows = slice(
                first * layout.tokens_per_view, (first + part.views) * layout.tokens_per_view
            )
            tokens = x[:, rows]
            q, k, v = self.inputs(attention, tokens, None if rope is None else rope[:, rows], part)
            queries.append(q)
            if self.mode != "recall":
                stored.append((k, v, self.rates(tokens)))
        if self.mode == "recall":
            if self.memory is None:
                raise ValueError(
                    "vgg_t3 was asked to localise before it has a memory: run it on mapped views first (store)"
                )
            memory = self.memory
        else:
            steps = self.options.test_steps(layout.views, self.training)
            start = FastWeights(self.w0, self.w1, self.w2).expand(len(x))
            memory = start.fit(stored, steps, chunk, self.options.newton_schulz)
            self.memory = memory if self.mode == "store" else None
        out = torch.cat([memory.apply(part) for q in queries for part in q.split(chunk, 1)], 1)
        return out.unflatten(0, (len(x), self.heads)).transpose(1, 2).flatten(2)


def set_mode(model: Any, mode: Literal["fit", "store", "recall"]) -> None:
    """Tell every memory of ``model`` what to do with the next images."""
    for _, attention in attention_modules(model, "global"):
        if isinstance(attention.core, MemoryCore):
            attention.core.mode = mode


class LocalisingPredictor(BackbonePredictor):
    """Maps the first views of a scene and looks the last ones up in the frozen memory."""

    def __init__(self, method: VGGT3, context: BuildContext) -> None:
        super().__init__(method, context)
        self.held_out = method.options.localise

    def __call__(self, images: Tensor, **conditions: Any) -> Reconstruction:
        """As any predictor. Raises ValueError for a scene with no view left to map."""
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
        out = TrunkOutput(taps, extras={"held_out": list(range(views, images.shape[1]))})
        return self.model.run_heads(out, replace(layout, views=images.shape[1]), images)

    def explain(self, images: Tensor, out: Reconstruction) -> dict[str, Any]:
        """How far the held-out views are from where the same model puts them when it sees all views together."""
        found, joint = (_square(r.extrinsics[0]) for r in (out, self.model(images)))
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
    """Trunk outputs of unseen ``images`` [B, n, 3, H, W] from frozen memories; ``reference`` [B, 1, ...] is the first
    mapped view, which makes the others embed as what they are: not the first."""
    tokens, layout = model.embed(torch.cat([reference, images], 1))
    layout = replace(layout, views=images.shape[1])
    out = model.trunk.run(tokens[:, 1:], layout, model.taps, model.schedule, images=images)
    return TrunkOutput({i: t.float() for i, t in out.taps.items()})


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
DISTILLATION = LayerValues(
    file="distillation",
    title="Distillation error per layer",
    notes=(
        "Mean squared difference of the attention output to the dense model's over the mean square "
        "of the latter, on the last training batch.",
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
    sections = (LOCALISATION, DISTILLATION)

    def check(self, backbone: str, scale: str) -> None:
        if self.options.localise and backbone == "depth_anything_3":
            raise Bench3RError(
                "vgg_t3: localise needs a backbone whose poses do not depend on a chosen reference view"
            )

    def cost(self, dense: BackboneCost) -> Cost:
        o, n = self.options, dense.sequence
        first = 0 if o.layers is None else dense.pairs - o.layers
        steps, patches = (
            o.test_steps(dense.frames, False),
            dense.frames * (dense.tokens - dense.special),
        )

        def core(a: AttentionShape) -> float:
            if a.layer < first:
                return a.dense
            d = a.dim // a.heads
            hidden = o.ratio * d
            small = min(d, hidden)
            newton = o.newton_schulz * (
                2 * d * hidden * small + small**3
            )  # gram, its square, and the product, per matrix
            fitted = steps * a.heads * (6.0 * n * d * hidden + 3 * newton)
            return (
                fitted
                + 3.0 * n * hidden * a.dim
                + 9.0 * patches * a.dim
                + 3.0 * n * a.dim * a.heads
            )

        return Cost(dense.with_global(core))

    def apply(self, model: Any) -> None:
        """Convert global attention and leave only the converted modules to train."""
        model.requires_grad_(False)
        modules = list(attention_modules(model, "global"))
        count = (
            len(modules) if self.options.layers is None else min(self.options.layers, len(modules))
        )
        for _, attention in modules[len(modules) - count :]:
            attention.core = MemoryCore(
                attention.heads, attention.proj.in_features // attention.heads, self.options
            )
            attention.requires_grad_(True)

    def teacher_weight(self, progress: float) -> float | None:
        first, last = self.options.distill
        return cosine_weight(progress, first, last)

    def build(self, context: BuildContext) -> Predictor | None:
        return LocalisingPredictor(self, context) if self.options.localise else None
