"""Multiply-adds of methods at any size without running anything: closed forms, composed from a backbone's parts.

A method says in ``closed_form`` what it changes of :class:`Dense`, the unchanged backbone. Tests hold every formula equal
to what is counted at the tiny scale: exactly where nothing depends on the content, to 1 % elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import Method
from bench3r.measure.closed_form import backbone_macs, dpt_macs, recursion_macs
from bench3r.models.scales import input_size, scale_config
from bench3r.models.vggt.config import DPTConfig
from bench3r.report.reported import SPATIALMOR_TABLE_5

PUBLISHED_FRAMES = (1, 2, 8, 32, 100, 300, 1000, 3000, 10000)
TABLE_5 = tuple(sum(column) / len(SPATIALMOR_TABLE_5) for column in zip(*SPATIALMOR_TABLE_5.values(), strict=True))


@dataclass(frozen=True)
class AttentionShape:
    """One attention of a backbone: how many sequences of which length, and its width."""

    role: str
    layer: int
    sequences: int
    length: int
    dim: int
    heads: int

    @property
    def dense(self) -> float:
        """Multiply-adds of softmax attention itself, projections left out."""
        return 2.0 * self.sequences * self.length**2 * self.dim


@dataclass(frozen=True)
class Dense:
    """An unchanged backbone on one scene, in numbers."""

    backbone: str
    config: Any
    frames: int
    size: tuple[int, int]  # (H, W) in pixels
    depths: tuple[float, ...] = TABLE_5  # assumed share of patches at recursion depth 1, 2, ...
    assumed: str = "recursion depths of SpatialMoR's Table V, averaged over scene types"

    @cached_property
    def parts(self) -> dict[str, float]:
        """Multiply-adds by part."""
        found = backbone_macs(self.backbone, self.config, self.frames, self.size)
        return {k: float(v) for k, v in found.items()}

    @property
    def total(self) -> float:
        """Multiply-adds of all parts."""
        return sum(self.parts.values())

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across an image."""
        patch = self.config.patch_size
        return self.size[0] // patch, self.size[1] // patch

    @property
    def special(self) -> int:
        """Special tokens of a view in the trunk."""
        return int(self.config.special)

    @property
    def dim(self) -> int:
        """Channels of a trunk token."""
        return int(self.config.width)

    @property
    def heads(self) -> int:
        """Heads of the trunk's attention."""
        return int(self.config.trunk_heads)

    @property
    def tokens(self) -> int:
        """Tokens of a view."""
        return self.special + self.grid[0] * self.grid[1]

    @property
    def sequence(self) -> int:
        """Tokens of the scene."""
        return self.frames * self.tokens

    @property
    def pairs(self) -> int:
        """Frame/global pairs of the trunk."""
        return int(self.config.pairs)

    @property
    def taps(self) -> tuple[int, ...]:
        """Pairs that heads read."""
        return tuple(self.config.taps)

    @property
    def recovery(self) -> float:
        """A linear map of all tokens of a tap to those of another."""
        return float(self.sequence * (2 * self.dim) ** 2)

    @property
    def depth_head(self) -> float:
        """Depth of one view, decoded alone (of a Depth-Anything-3 without its rays)."""
        if self.backbone == "depth_anything_3":
            head = self.config.head
            dpt = DPTConfig(dim_in=2 * self.dim, features=head.features, out_channels=head.out_channels)
            return float(dpt_macs(dpt, self.grid, self.size, 2))
        return self.parts["point_head" if self.backbone == "pi3" else "depth_head"] / self.frames

    @cached_property
    def attentions(self) -> list[AttentionShape]:
        """Every attention of the backbone."""
        s, c, patches = self.frames, self.config, self.grid[0] * self.grid[1]
        found = [
            AttentionShape(role, i, n, length, self.dim, self.heads)
            for i in range(self.pairs)
            for role, n, length in (("frame", s, self.tokens), ("global", 1, self.sequence))
        ]
        if self.backbone == "vggt":
            dim, depth, heads = c.aggregator.encoder_size()
            found += [AttentionShape("encoder", i, s, patches + 5, dim, heads) for i in range(depth)]
            camera = c.camera
            found += [AttentionShape("head", i, 4, s, camera.dim_in, camera.num_heads) for i in range(camera.trunk_depth)]
        elif self.backbone == "pi3":
            e, h = c.encoder, c.head
            found += [AttentionShape("encoder", i, s, patches + 5, e.dim, e.heads) for i in range(e.depth)]
            found += [AttentionShape("head", i, s, self.tokens, h.dim, h.heads) for i in range(3 * h.depth)]
        else:
            found += [AttentionShape("encoder", i, s, patches + 1, self.dim, self.heads) for i in range(c.net.alt_start)]
        return found

    def with_global(self, core: Callable[[AttentionShape], float]) -> dict[str, float]:
        """The parts with ``core(shape)`` in place of softmax attention in the global layers."""
        return self.with_attention(lambda a: core(a) if a.role == "global" else a.dense)

    def with_attention(self, core: Callable[[AttentionShape], float]) -> dict[str, float]:
        """The parts with ``core(shape)`` in place of softmax attention everywhere."""
        parts = dict(self.parts)
        heads = ["camera_head", "point_head", "conf_head"] if self.backbone == "pi3" else ["camera_head"]
        where = {"encoder": ["patch_embed"], "frame": ["frame_blocks"], "global": ["global_blocks"], "head": heads}
        for a in self.attentions:
            for part in where[a.role]:
                parts[part] += (core(a) - a.dense) / len(where[a.role])
        return parts

    def with_pairs(self, run: float) -> dict[str, float]:
        """The parts with ``run`` pairs of the trunk instead of all."""
        share = run / self.pairs
        return {k: v * share if k in ("frame_blocks", "global_blocks") else v for k, v in self.parts.items()}


@dataclass(frozen=True)
class Price:
    """Multiply-adds of a method, and what they stand on besides shapes ("" when nothing)."""

    parts: dict[str, float]
    assumed: str = ""

    @property
    def macs(self) -> float:
        """All parts."""
        return sum(self.parts.values())


def dense_cost(backbone: str, scale: str, frames: int, size: tuple[int, int] | None = None) -> Dense:
    """The unchanged ``backbone`` at ``scale``; ``size`` None: the scale's usual image.

    Raises Bench3RError for less than one frame and for names without a configuration.
    """
    if frames < 1:
        raise Bench3RError(f"frames must be at least 1, got {frames}")
    height, width, _ = input_size(backbone, scale)
    return Dense(backbone, scale_config(backbone, scale), frames, size or (height, width))


def price(method: Method, dense: Dense) -> Price:
    """What ``method`` costs on the backbone and scene of ``dense``. Raises Unsupported when it has no closed form."""
    found = method.closed_form(dense)
    if found is None:
        raise Unsupported(f"{method.name} has no closed form: count it by running it (bench3r profile)")
    return found


def recursive_parts(
    dense: Dense, sharing: Any, active: list[float], keys_of_all: bool, keys_once: bool = False
) -> dict[str, float]:
    """The parts when recursion r of a shared group computes a share ``active[r]`` of the patches of every view.

    ``sharing`` is a :class:`bench3r.recursion.sharing.Sharing`; unshared pairs run on everything. ``keys_once``: only the
    first recursion makes keys and values.
    """
    parts = dense.with_pairs(sum(sharing.unshared))
    patches = dense.tokens - dense.special
    within, across = recursion_macs(
        active, sharing.group, dense.frames, patches, dense.special, dense.dim, keys_of_all, keys_once
    )
    parts["frame_blocks"] += within
    parts["global_blocks"] += across
    return parts


def deeper_shares(depths: tuple[float, ...], deepest: int) -> list[float]:
    """Share of the patches that recursion 1, 2, ... up to ``deepest`` computes, from the shares that stop at each depth."""
    return [sum(depths[r:]) for r in range(min(deepest, len(depths)))]


def with_depths(dense: Dense, depths: tuple[float, ...], assumed: str) -> Dense:
    """``dense`` with another assumption about recursion depths. Raises Bench3RError unless the shares add up to 1."""
    if not depths or min(depths) < 0 or not math.isclose(sum(depths), 1, abs_tol=0.01):
        raise Bench3RError(f"depth shares must not be negative and add up to 1, got {depths}")
    return replace(dense, depths=depths, assumed=assumed)
