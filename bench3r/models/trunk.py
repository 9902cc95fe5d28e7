"""Trunks that alternate frame and global attention, and the *schedule hook*.

A trunk owns pairs of frame and global blocks. A :class:`Schedule` decides which blocks run on which
tokens; the trunk hands it the tokens, the rotary tables and the layout, and takes back the outputs
that the heads tap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.presentation import Facts
from bench3r.models.chunks import chunk_rows, in_chunks
from bench3r.models.layers import Block, TableCache, TokenLayout, rope_table


@dataclass
class TrunkInput:
    """What a schedule starts from."""

    tokens: Tensor  # [B, S, T, C], special tokens first, then the patches row by row
    layout: TokenLayout
    rope: Tensor | None  # [2, T, 1, head_dim], the table of one view
    taps: tuple[int, ...]  # pair indices whose outputs the heads read, ascending
    keep_all: bool = False  # keep every pair's output (debugging and tests)
    images: Tensor | None = None  # [B, S, 3, H, W] in [0, 1], for schedules that look at colours
    global_rope: Tensor | None = None  # as ``rope``, for global blocks
    tap_dtype: torch.dtype = torch.float32  # in which taps are kept; heads compute in float32
    offload_taps: bool = False  # keep taps in pinned memory of the host

    def take(self) -> Tensor:
        """The tokens [B, S, T, C], which are then held by the caller alone, and freed with it."""
        tokens = self.tokens
        self.tokens = torch.empty(0)
        return tokens

    def tap(self, after_frame: Tensor, after_global: Tensor) -> Tensor:
        """What the heads read of a pair [B, S, T, 2C]: what its blocks put out, each [B, S, T, C].

        In the precision and at the place where taps are kept.
        """
        halves = [x.to(self.tap_dtype) for x in (after_frame, after_global)]
        return self.store(torch.cat(halves, -1))

    def store(self, tap: Tensor) -> Tensor:
        """A ``tap`` [B, S, T, 2C] in the precision and at the place where taps are kept."""
        tap = tap.to(self.tap_dtype)
        if not self.offload_taps or tap.device.type == "cpu":
            return tap
        return torch.empty(tap.shape, dtype=tap.dtype, pin_memory=True).copy_(tap)


@dataclass
class TrunkOutput:
    """What a schedule returns: per tapped pair index one tensor [B, S, T, 2C].

    Its channels are those of the frame block, then of the global block.
    """

    taps: dict[int, Tensor]
    recursion_depth: Tensor | None = None  # [B, S, h, w], how many recursion steps each patch took
    facts: Facts = field(default_factory=dict)  # what a method wants recorded: exit layer, depths
    losses: dict[str, Tensor] = field(default_factory=dict)  # the schedule's own, weighted, []
    # tensors that go into the reconstruction's: what a choice stands on (``decided_by``)
    extras: dict[str, Any] = field(default_factory=dict)


class Trunk:
    """Pairs of frame and global blocks over the tokens of a scene.

    Mixed into the module that owns them.

    ``frame_blocks`` and ``global_blocks`` hold as many blocks as there are pairs; ``special``
    tokens stand before the patches of each view.
    """

    frame_blocks: Sequence[Block] | nn.ModuleList
    global_blocks: Sequence[Block] | nn.ModuleList
    special: int
    patch_size: int

    def set_up_trunk(self, depth: int, head_dim: int, rope_freq: float) -> None:
        """Note the number of pairs and what the rotary tables need.

        ``rope_freq`` <= 0: no rotary position.
        """
        self.depth = depth
        self.head_dim = head_dim
        self.rope_freq = rope_freq
        self._ropes = TableCache()

    def replace_blocks(self, frame: Iterable[nn.Module], global_: Iterable[nn.Module]) -> None:
        """Put other blocks in place of the trunk's, as many of each."""
        self.frame_blocks = nn.ModuleList(frame)
        self.global_blocks = nn.ModuleList(global_)

    def rope(self, layout: TokenLayout, device: torch.device) -> Tensor | None:
        """Rotary table [2, T, 1, head_dim] of one view, computed once per grid."""
        if self.rope_freq <= 0:
            return None
        key = (layout.height, layout.width, layout.special, self.head_dim)
        return self._ropes.get(key, device, lambda: rope_table(*key, base=self.rope_freq))

    def global_rope(self, layout: TokenLayout, device: torch.device) -> Tensor | None:
        """The table [2, T, 1, head_dim] that global blocks use, of one view.

        The same as :meth:`rope` unless a trunk says otherwise.
        """
        return self.rope(layout, device)

    def frame(self, index: int, x: Tensor, inputs: TrunkInput) -> Tensor:
        """Frame block ``index`` on all tokens [B, S, T, C]: attention inside each view."""
        views = x.flatten(0, 1)
        rows = chunk_rows(int(x.shape[2]))
        block = self.frame_blocks[index]
        if len(views) <= rows:
            return block(views, inputs.rope, inputs.layout).view_as(x)

        def some(part: Tensor) -> Tensor:
            return block(part, inputs.rope, replace(inputs.layout, batch=1, views=len(part)))

        return in_chunks(some, views, rows).view_as(x)

    def global_(self, index: int, x: Tensor, inputs: TrunkInput) -> Tensor:
        """Global block ``index`` on all tokens [B, S, T, C]: attention over the whole scene."""
        rope = inputs.global_rope
        if rope is not None:
            rope = rope.repeat(1, x.shape[1], 1, 1)  # the same positions in every view
        out = self.global_blocks[index](x.flatten(1, 2), rope, inputs.layout)
        return out.view_as(x)

    def run(
        self,
        tokens: Tensor,
        layout: TokenLayout,
        taps: tuple[int, ...],
        schedule: Schedule,
        keep_all: bool = False,
        images: Tensor | None = None,
    ) -> TrunkOutput:
        """Let ``schedule`` run the pairs on ``tokens`` [B, S, T, C] of the scene's ``images``.

        The images are [B, S, 3, H, W] in [0, 1]; schedules may look at colours.
        """
        return schedule(self, self.inputs(tokens, layout, taps, keep_all, images))

    def inputs(
        self,
        tokens: Tensor,
        layout: TokenLayout,
        taps: tuple[int, ...],
        keep_all: bool = False,
        images: Tensor | None = None,
    ) -> TrunkInput:
        """What a schedule starts from: ``tokens`` [B, S, T, C] and the rest as of :meth:`run`."""
        return TrunkInput(
            tokens=tokens,
            layout=layout,
            rope=self.rope(layout, tokens.device),
            taps=taps,
            keep_all=keep_all,
            images=images,
            global_rope=self.global_rope(layout, tokens.device),
        )


class Schedule(nn.Module):
    """Which blocks run on which tokens.

    The base class is the plain schedule: every pair, on every token. A method subclasses this and
    overrides :meth:`forward`. It may gather tokens and rotary rows and call
    ``trunk.frame_blocks[i]`` or ``trunk.global_blocks[i]`` on the subset (``layout.subset(active)``
    tells attention cores what is there), so tokens that are not processed are not computed.
    Parameters of a schedule live under ``schedule.`` in the model's state dict; the plain schedule
    has none.
    """

    def set_progress(self, model: Any, progress: float) -> None:
        """Told before every training step how much of it is over (0 to 1).

        For curricula and freezing.
        """

    def forward(self, trunk: Trunk, inputs: TrunkInput) -> TrunkOutput:
        """Run the trunk.

        The returned taps hold every index of ``inputs.taps``, each [B, S, T, 2C].
        """
        x = inputs.take()
        taps = {}
        for i in range(trunk.depth):
            x = after_frame = trunk.frame(i, x, inputs)  # what went in is not held any longer
            x = trunk.global_(i, after_frame, inputs)
            if inputs.keep_all or i in inputs.taps:
                taps[i] = inputs.tap(after_frame, x)
        return TrunkOutput(taps)
