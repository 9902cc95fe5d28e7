"""Which pretrained pairs are tied into which shared slot, when the slots run, where heads tap.

The shared group holds g frame/global pairs. K applications of the group replace K * g pretrained
pairs, so a uniform depth of K costs what the backbone costs. Patterns after Mixture-of-Recursions
(Bae et al. 2025, §2.2): ``cycle`` ties pair l to slot l mod g, ``sequence`` to slot l // K,
``middle_cycle`` cycles too but leaves the first and last pairs unshared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError

Pattern = Literal["cycle", "sequence", "middle_cycle"]
Initialisation = Literal["average", "stepwise"]


@dataclass(frozen=True)
class Step:
    """One executed pair: a slot of the shared group in a recursion, or an unshared pair."""

    block: int  # index into the trunk's blocks after tying
    recursion: int  # -1: an unshared pair
    position: int  # the pretrained pair it stands for


@dataclass(frozen=True)
class Sharing:
    """The tying of a trunk of ``pairs`` pairs into a group for ``recursions`` applications."""

    pairs: int
    recursions: int
    pattern: Pattern = "cycle"

    def __post_init__(self) -> None:
        if self.shared < self.recursions or self.shared % self.recursions:
            raise Bench3RError(
                f"sharing {self.pattern!r} with {self.recursions} recursions does not fit a trunk "
                f"of {self.pairs} pairs: {self.shared} pairs are left to share, "
                f"which is no multiple of {self.recursions}"
            )

    @property
    def unshared(self) -> tuple[int, int]:
        """How many pairs at the start and at the end stay as they are.

        The fewest that leave a multiple of K.
        """
        if self.pattern != "middle_cycle":
            return 0, 0
        count = 2
        while count < self.pairs and (self.pairs - count) % self.recursions:
            count += 1
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
        if self.pattern == "sequence":
            order = list(product(range(self.group), range(max_depth)))
        else:
            order = [(s, r) for r, s in product(range(max_depth), range(self.group))]
        first = [Step(i, -1, i) for i in range(head)]
        middle = [Step(head + s, r, self.sources(s)[r]) for s, r in order]
        last = [Step(head + self.group + i, -1, self.pairs - tail + i) for i in range(tail)]
        return [*first, *middle, *last]

    def tap_steps(self, taps: tuple[int, ...], max_depth: int) -> dict[int, int]:
        """Tap (pretrained pair index) -> index of the step after which it is read.

        A tap inside a recursion is read when that application ends; one in a recursion that does
        not run repeats the last output before it.
        """
        steps = self.steps(max_depth)
        return {tap: self._tap_step(tap, steps) for tap in taps}

    def _tap_step(self, tap: int, steps: list[Step]) -> int:
        reached = [i for i, s in enumerate(steps) if s.position <= tap]
        if self.pattern == "sequence":
            return reached[-1]
        found = max(reached, key=lambda i: steps[i].position)
        recursion = steps[found].recursion
        if recursion < 0:
            return found
        return max(i for i, s in enumerate(steps) if s.recursion == recursion)


def initial_sources(sharing: Sharing, slot: int, how: Initialisation) -> list[int]:
    """The pretrained pairs whose average a slot starts from.

    ``average`` takes all that are tied to it; ``stepwise`` takes pairs spread evenly from the first
    shared one to the last (the appendix on initialisation).
    """
    if how == "average":
        return sharing.sources(slot)
    first = sharing.unshared[0]
    if sharing.group == 1:
        return [first + (sharing.shared - 1) // 2]
    return [first + round(slot * (sharing.shared - 1) / (sharing.group - 1))]


def _mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of state dicts, in their precision."""
    mean = {}
    for name, first in states[0].items():
        values = torch.stack([state[name].float() for state in states])
        mean[name] = values.mean(0).to(first.dtype)
    return mean


def tie(blocks: Iterable[Any], sharing: Sharing, how: Initialisation) -> list[nn.Module]:
    """Blocks after tying: unshared ones, the group, initialised from ``blocks``, unshared ones."""
    blocks = list(blocks)
    head, tail = sharing.unshared
    tied = []
    for slot in range(sharing.group):
        chosen = [blocks[i] for i in initial_sources(sharing, slot, how)]
        chosen[0].load_state_dict(_mean([b.state_dict() for b in chosen]))
        tied.append(chosen[0])
    return [*blocks[:head], *tied, *blocks[len(blocks) - tail :]]
