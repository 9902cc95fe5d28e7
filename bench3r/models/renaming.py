"""Tensors of one network under the names of another that has the same blocks."""

from __future__ import annotations

import re

from torch import Tensor

# patterns of names, each with its target: \1 is a group of the pattern, {2n+K} twice the first
# group (the number of a pair) plus K, where trunks number frame and global blocks in one list
Renaming = tuple[tuple[str, str], ...]
PLACE = re.compile(r"\{2n\+(\d+)\}")


def renamed(name: str, rules: Renaming) -> str | None:
    """The other network's name for the tensor ``name``; None where no rule fits."""
    for pattern, target in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return _numbered(match.expand(target), match.group(1))
    return None


def _numbered(target: str, pair: str) -> str:
    def block(place: re.Match[str]) -> str:
        return str(2 * int(pair) + int(place.group(1)))

    return PLACE.sub(block, target)


def rename_all(state: dict[str, Tensor], rules: Renaming) -> dict[str, Tensor]:
    """The tensors [...] of ``state`` that have a name in the other network, under it."""
    out = {}
    for name, value in state.items():
        other = renamed(name, rules)
        if other is not None:
            out[other] = value
    return out
