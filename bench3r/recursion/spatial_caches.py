"""Keys and values of patches that stopped, kept consistent with their neighbourhood or their
region.

Equation numbers are those of Gupta and Kaur, Spatially Adaptive Efficient 3D Scene Reconstruction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.layers import TokenLayout
from bench3r.recursion.packed import LatestKeyValues, StoredKeyValues, Subset
from bench3r.recursion.regions import region_means

# Of the largest difference: the radius of a ball, strictly inside in spite of rounding.
INSIDE = 0.4999


def by_view(stored: Tensor, layout: TokenLayout) -> Tensor:
    """A cache [N, 2, heads, d] by view and token: [B * S, T, 2 * heads * d]."""
    return stored.unflatten(0, (-1, layout.tokens_per_view)).flatten(2)


def neighbourhood_mean(x: Tensor) -> Tensor:
    """Mean over the 3 x 3 neighbourhood of every patch of [V, h, w, D], cut off at the border."""
    channels_first = x.movedim(-1, 1)  # a view: channels stay last in memory
    return F.avg_pool2d(channels_first, 3, 1, 1, count_include_pad=False).movedim(1, -1)


class SpatialBlending(StoredKeyValues):
    """Equation 4: active patches blend new with old; finished ones move to their neighbourhood's
    mean.

    active: alpha * new + (1 - alpha) * old; finished: beta * mean of the 3 x 3 neighbourhood.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta

    def update(self, stored: Tensor, new: Tensor, active: Subset) -> Tensor:
        layout = active.layout
        views = by_view(stored, layout)
        patches = views[:, layout.special :].unflatten(1, (layout.height, layout.width))
        finished = neighbourhood_mean(patches).flatten(1, 2)
        if self.beta != 1:
            finished = self.beta * finished
        drifted = torch.cat([views[:, : layout.special], finished], 1).view(stored.shape)
        blended = torch.lerp(stored.index_select(0, active.index), new, self.alpha)
        return drifted.index_copy_(0, active.index, blended)


class RegionCoherent(LatestKeyValues):
    """Equation 5: entries of one region differ by at most epsilon (RMS over channels).

    They are pulled into a ball round the region's mean whose diameter is epsilon.
    """

    def __init__(self, regions: Tensor, epsilon: float) -> None:
        super().__init__()
        self.regions = regions  # labels [B, S, h, w], distinct across views
        self.epsilon = epsilon

    def view(self, stored: Tensor, active: Subset) -> Tensor:
        layout = active.layout
        views = by_view(stored, layout)
        patches = views[:, layout.special :].flatten(0, 1)  # [B * S * h * w, D]
        mean = region_means(patches, self.regions.flatten())
        away = patches - mean
        radius = INSIDE * self.epsilon * away.shape[1] ** 0.5
        factor = (radius / away.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        pulled = torch.addcmul(mean, away, factor).unflatten(0, (len(views), -1))
        return torch.cat([views[:, : layout.special], pulled], 1).reshape(stored.shape)
