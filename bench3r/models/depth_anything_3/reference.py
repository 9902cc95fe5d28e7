"""Which view defines the world frame of a Depth-Anything-3, and the order that puts it first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.depth_anything_3.config import ReferenceStrategy


def choose_reference(classes: Tensor, strategy: ReferenceStrategy) -> Tensor:
    """Index [B] of the reference view, given the class tokens [B, S, C] of at least two views.

    - "first", "middle": by place, the middle of S views being view S // 2.
    - "saddle_balanced": the view whose mean similarity to the others, token norm and channel
      variance, each scaled to [0, 1] over the views, are closest to the middle. Similarity and
      variance (unbiased) are those of tokens of unit length, the norm is that of the token itself.
    - "saddle_sim_range": the view whose similarities to the views spread most between its most and
      its least similar one. As upstream a view's similarity to itself counts as 0.

    Of views that are equally good the first is taken.
    """
    b, s, _ = classes.shape
    if strategy == "first":
        return torch.zeros(b, dtype=torch.long, device=classes.device)
    if strategy == "middle":
        return torch.full((b,), s // 2, dtype=torch.long, device=classes.device)
    unit = F.normalize(classes, dim=-1)
    similarity = unit @ unit.mT
    if strategy == "saddle_sim_range":
        return similarity_range(similarity).argmax(-1)
    mean = (similarity.sum(-1) - 1) / (s - 1)
    scores = torch.stack([mean, classes.norm(dim=-1), unit.var(-1)])  # [3, B, S]
    low = scores.amin(-1, keepdim=True)
    high = scores.amax(-1, keepdim=True)
    scaled = (scores - low) / (high - low + 1e-8)
    return (scaled - 0.5).abs().sum(0).argmin(-1)


def similarity_range(similarity: Tensor) -> Tensor:
    """Largest minus smallest entry of each row [B, S] of ``similarity`` [B, S, S].

    The diagonal counts as 0.
    """
    own = torch.eye(similarity.shape[-1], device=similarity.device) > 0
    others = similarity.masked_fill(own, 0.0)
    return others.amax(-1) - others.amin(-1)


def reference_first(reference: Tensor, views: int) -> Tensor:
    """Order [B, S] of the views that puts ``reference`` [B] first.

    The others stay as they are.
    """
    index = torch.arange(views, device=reference.device).expand(len(reference), -1)
    return torch.where(index == reference[:, None], -1, index).argsort(1)


def reorder(x: Tensor, order: Tensor) -> Tensor:
    """``x`` [B, S, ...] with its views taken in ``order`` [B, S]."""
    return x[torch.arange(len(x), device=x.device)[:, None], order.to(x.device)]
