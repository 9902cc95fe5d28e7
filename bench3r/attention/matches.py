"""How alike tokens of different views are: what methods that merge or prune over time stand on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.layers import TokenLayout, attention_modules

CANDIDATES = 1 << 16  # compared at once
NONE = -2.0  # below any cosine
SAMPLED = 256  # patches of a scene whose matches are looked at, in every layer
ALMOST_ALL = 0.95  # of them

# Of a core, the layout and the device: indices [M] of tokens whose keys stay; None: of all.
Kept = Callable[[Any, TokenLayout, torch.device], Tensor | None]


class Matches(NamedTuple):
    """The most similar candidate of each of n tokens."""

    cosine: Tensor  # [n]
    frames: Tensor  # [n] int64, views between the two


def matches_elsewhere(
    metric: Tensor, sources: Tensor, candidates: Tensor, views: Tensor
) -> Matches:
    """For each of the ``sources`` [n] the most similar of the ``candidates`` [m] in another view.

    Both are indices of tokens; ``metric`` [N, C] is compared by cosine in float32, ``views`` [N]
    is the view of each token. Sources without a candidate elsewhere are left out.
    """
    with torch.autocast(metric.device.type, enabled=False):
        wanted = F.normalize(metric[sources].float(), dim=-1)
        own = views[sources]
        best = torch.full((len(sources),), NONE, device=metric.device)
        view = own.clone()
        for part in candidates.split(CANDIDATES):
            cosine = wanted @ F.normalize(metric[part].float(), dim=-1).mT  # [n, part]
            cosine.masked_fill_(own[:, None] == views[part], NONE)
            value, place = cosine.max(-1)
            view = torch.where(value > best, views[part][place], view)
            best = torch.maximum(value, best)
    found = best > NONE
    return Matches(best[found], (view - own).abs()[found])


class AlmostAll(NamedTuple):
    """What 95 % of the matches of a scene keep to."""

    cosine: float  # at least, of a key and the most similar one that stays
    frames: float  # at most, of a patch and the most similar one


class MatchWatch:
    """Notes, while a scene passes, how alike tokens of different views are in global layers.

    Of some patches in every layer: the best match of its key among those that stay (of a key that
    does not, where some do not), and the view of its best match among all patches.
    """

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.keys: list[Matches] = []
        self.queries: list[Matches] = []

    @contextmanager
    def over(self, model: nn.Module) -> Iterator[None]:
        """Watch what passes ``model`` inside."""
        cores = [attention.core for _, attention in attention_modules(model, "global")]
        hooks = [core.register_forward_pre_hook(self._look) for core in cores]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _look(self, core: nn.Module, inputs: tuple[Any, ...]) -> None:
        """What a layer is about to attend to: q, k, v [1, heads, L, d] and the layout."""
        _, k, _, layout = inputs
        metric = k[0].transpose(0, 1).flatten(1)
        token = torch.arange(len(metric), device=metric.device)
        views = token // layout.tokens_per_view
        patches = token[token % layout.tokens_per_view >= layout.special]
        stay = patches
        pruned = patches
        kept = self.kept(core, layout, metric.device)
        if kept is not None:
            there = torch.zeros_like(token, dtype=torch.bool).index_fill(0, kept, True)
            stay = patches[there[patches]]
            pruned = patches[~there[patches]]
        self.keys.append(matches_elsewhere(metric, _sample(pruned), stay, views))
        self.queries.append(matches_elsewhere(metric, _sample(patches), patches, views))

    def almost_all(self) -> AlmostAll | None:
        """What 95 % of the matches keep to; None of a scene of one view."""
        cosine = torch.cat([found.cosine for found in self.keys]).cpu()
        frames = torch.cat([found.frames for found in self.queries]).cpu().float()
        if not len(cosine) or not len(frames):
            return None
        least = float(cosine.quantile(1 - ALMOST_ALL))
        return AlmostAll(least, float(frames.quantile(ALMOST_ALL)))


def _sample(tokens: Tensor) -> Tensor:
    """Some of the ``tokens`` [n], evenly spread."""
    return tokens[:: max(1, math.ceil(len(tokens) / SAMPLED))]
