"""What a forward pass costs in closed form: MACs of an unchanged backbone, and of a method on it.

MACs are multiply-adds. A backbone says what it costs (``bench3r/models/<backbone>/macs.py``); a
method says in ``Method.cost`` what it changes of that. Nothing is run, so any size can be counted
on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench3r.api.errors import Bench3RError


@dataclass(frozen=True)
class AttentionShape:
    """One attention of a backbone: how many sequences of which length, and its width."""

    role: str  # encoder, frame, global or head
    layer: int
    sequences: int
    length: int
    dim: int
    heads: int

    @property
    def dense(self) -> float:
        """MACs of softmax attention itself, projections left out."""
        return 2.0 * self.sequences * self.length**2 * self.dim


@dataclass(frozen=True)
class BackboneCost:
    """An unchanged backbone on one scene, in numbers."""

    backbone: str
    frames: int
    size: tuple[int, int]  # (H, W) in pixels
    patch_size: int
    special: int  # special tokens of a view in the trunk
    dim: int  # channels of a trunk token
    heads: int  # of the trunk's attention
    pairs: int  # frame/global pairs of the trunk
    taps: tuple[int, ...]  # pairs that heads read
    parts: Mapping[str, float]  # MACs by part
    attentions: tuple[AttentionShape, ...]
    # role -> the parts that its attentions are counted in
    attention_parts: Mapping[str, tuple[str, ...]]
    depth_head: float  # MACs of the z-depth of one view, decoded alone
    # assumed share of patches at recursion depth 1, 2, ...; (): the usual ones
    depth_shares: tuple[float, ...] = ()
    assumed: str = ""  # where ``depth_shares`` come from

    @property
    def total(self) -> float:
        """MACs of all parts."""
        return sum(self.parts.values())

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across an image."""
        return self.size[0] // self.patch_size, self.size[1] // self.patch_size

    @property
    def tokens(self) -> int:
        """Tokens of a view in the trunk."""
        return self.special + self.grid[0] * self.grid[1]

    @property
    def sequence(self) -> int:
        """Tokens of the scene in the trunk."""
        return self.frames * self.tokens

    @property
    def recovery(self) -> float:
        """MACs of a linear map of all tokens of a tap to those of another."""
        return float(self.sequence * (2 * self.dim) ** 2)

    def with_global(self, core: Callable[[AttentionShape], float]) -> dict[str, float]:
        """The parts with ``core(shape)`` in place of softmax attention in the global layers."""
        return self.with_attention(lambda a: core(a) if a.role == "global" else a.dense)

    def with_attention(self, core: Callable[[AttentionShape], float]) -> dict[str, float]:
        """The parts with ``core(shape)`` in place of softmax attention everywhere."""
        parts = dict(self.parts)
        for attention in self.attentions:
            where = self.attention_parts[attention.role]
            for part in where:
                parts[part] += (core(attention) - attention.dense) / len(where)
        return parts

    def with_pairs(self, run: float) -> dict[str, float]:
        """The parts with ``run`` pairs of the trunk instead of all."""
        parts = dict(self.parts)
        for name in ("frame_blocks", "global_blocks"):
            if name in parts:
                parts[name] *= run / self.pairs
        return parts

    def with_depth_shares(self, shares: tuple[float, ...], assumed: str) -> BackboneCost:
        """The same with another assumption about recursion depths.

        Raises Bench3RError unless the shares are not negative and add up to 1.
        """
        if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 0.01:
            raise Bench3RError(f"depth shares must not be negative and add up to 1, got {shares}")
        return replace(self, depth_shares=shares, assumed=assumed)


@dataclass(frozen=True)
class Cost:
    """MACs of a method by part, and what they stand on besides shapes ("" when nothing)."""

    parts: Mapping[str, float]
    assumed: str = ""

    @property
    def macs(self) -> float:
        """All parts."""
        return sum(self.parts.values())
