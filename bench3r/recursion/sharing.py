"""Which pretrained pairs are tied into which shared slot, in which order the slots run, and where the heads tap.

The shared group holds g frame/global pairs. K applications of the group replace K * g pretrained pairs, so a uniform
depth of K costs what the backbone costs. Patterns after Mixture-of-Recursions (Bae et al. 2025, §2.2): ``cycle`` ties
pair l to slot l mod g, ``sequence`` to slot l // K, ``middle_cycle`` cycles too but leaves the first and last pairs
unshared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from bench3r.api.errors import Bench3RError

Pattern = Literal["cycle", "sequence", "middle_cycle"]
Initialisation = Literal["average", "stepwise"]


@dataclass(frozen=True)
class Step:
    """One executed pair: a slot of the shared group in recursion ``recursion``, or an unshared pair (recursion -1)."""

    block: int  # index into the trunk's blocks after tying
    recursion: int
    position: int  # the pretrained pair it stands for


@dataclass(frozen=True)
class Sharing:
    """The tying of a trunk of ``pairs`` pairs into a group that is applied at most ``recursions`` times."""

    pairs: int
    recursions: int
    pattern: Pattern = "cycle"

    def __post_init__(self) -> None:
        if self.shared < self.recursions or self.shared % self.recursions:
            raise Bench3RError(
                f"sharing {self.pattern!r} with {self.recursions} recursions does not fit a trunk of {self.pairs} pairs: "
                f"{self.shared} pairs are left to share, which is no multiple of {self.recursions}"
            )

    @property
    def unshared(self) -> tuple[int, int]:
        """How many pairs at the start and at the end stay as they are: the fewest that leave a multiple of K."""
        if self.pattern != "middle_cycle":
            return 0, 0
        count = next(
            (u for u in range(2, self.pairs) if (self.pairs - u) % self.recursions == 0), self.pairs
        )
        return (count + 1) // 2, count // 2

    @property
    def shared(self) -> int:
        """How many pretrained pairs the group replaces."""
        return self.pairs - sum(self.unshared)

    @property
    def group(self) -> int:
        """Pairs in the shared group, g."""
        return self.shared // self.recursions

    def sources(self, slot: int) -> list[int]:
        """The pretrained pairs tied into ``slot``, ascending."""
        first = self.unshared[0]
        if self.pattern == "sequence":
            return [first + slot * self.recursions + r for r in range(self.recursions)]
        return [first + slot + r * self.group for r in range(self.recursions)]

    def steps(self, max_depth: int) -> list[Step]:
        """Everything that runs when some token takes ``max_depth`` recursions, in order."""
        head, tail = self.unshared
        slots = range(self.group)
        if self.pattern == "sequence":
            order = [(s, r) for s in slots for r in range(max_depth)]
        else:
            order = [(s, r) for r in range(max_depth) for s in slots]
        middle = [Step(head + s, r, self.sources(s)[r]) for s, r in order]
        last = [Step(head + self.group + i, -1, self.pairs - tail + i) for i in range(tail)]
        return [*(Step(i, -1, i) for i in range(head)), *middle, *last]

    def tap_steps(self, taps: tuple[int, ...], max_depth: int) -> dict[int, int]:
        """Tap (pretrained pair index) -> index of the step after which it is read.

        A tap inside a recursion is read when that application ends; one in a recursion that does not run repeats the
        last output before it.
        """
        steps = self.steps(max_depth)
        return {tap: self._tap_step(tap, steps) for tap in taps}

    def _tap_step(self, tap: int, steps: list[Step]) -> int:
        exact = [i for i, s in enumerate(steps) if s.position <= tap]
        found = (
            exact[-1] if self.pattern == "sequence" else max(exact, key=lambda i: steps[i].position)
        )
        if self.pattern != "sequence" and steps[found].recursion >= 0:
            return max(i for i, s in enumerate(steps) if s.recursion == steps[found].recursion)
        return found


def initial_sources(sharing: Sharing, slot: int, how: Initialisation) -> list[int]:
    """The pretrained pairs whose average a slot starts from: all that are tied to it, or one of evenly spaced ones.

    ``stepwise`` takes pairs spread evenly from the first shared one to the last (MoR, appendix on initialisation).
    """
    if how == "average":
        return sharing.sources(slot)
    first = sharing.unshared[0]
    if sharing.group == 1:
        return [first + (sharing.shared - 1) // 2]
    return [first + round(slot * (sharing.shared - 1) / (sharing.group - 1))]


def tie(blocks: Iterable[Any], sharing: Sharing, how: Initialisation) -> list[nn.Module]:
    """Blocks after tying: unshared ones, the shared group (initialised from ``blocks``), unshared ones."""
    blocks = list(blocks)
    head, tail = sharing.unshared
    tied = []
    for slot in range(sharing.group):
        chosen = [blocks[i] for i in initial_sources(sharing, slot, how)]
        states = [b.state_dict() for b in chosen]
        mean = {
            k: torch.stack([s[k].float() for s in states]).mean(0).to(states[0][k].dtype)
            for k in states[0]
        }
        chosen[0].load_state_dict(mean)
        tied.append(chosen[0])
    return [*blocks[:head], *tied, *blocks[len(blocks) - tail :]]
