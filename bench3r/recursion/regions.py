"""Regions of whole patches: segmentation, means, and recursion depths that are smooth over them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from skimage.segmentation import slic
from torch import Tensor

from bench3r.recursion.depth import lipschitz_regions, region_adjacency

COMPACTNESS = 0.1  # of SLIC, for colours in [0, 1]


def segment(images: Tensor, grid: tuple[int, int], count: int) -> Tensor:
    """SLIC regions of patches [B, S, h, w] from images [B, S, 3, H, W], about ``count`` in each.

    Works on the mean colour of every patch, so that regions consist of whole patches. Labels are
    consecutive and distinct across all views.
    """
    colours = F.adaptive_avg_pool2d(images.float().flatten(0, 1), grid).permute(0, 2, 3, 1)
    maps = []
    first = 0
    for picture in colours.cpu().numpy():
        found = slic(
            picture, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1
        )
        labels = np.unique(found, return_inverse=True)[1].reshape(grid) + first
        maps.append(labels)
        first = int(labels.max()) + 1
    return torch.from_numpy(np.stack(maps)).to(images.device).unflatten(0, images.shape[:2])


def region_means(values: Tensor, labels: Tensor) -> Tensor:
    """Every row of ``values`` [N, D] replaced by the mean of its region; ``labels`` [N] from 0."""
    count = int(labels.max()) + 1
    sizes = torch.bincount(labels, minlength=count).clamp(min=1)[:, None].to(values)
    sums = values.new_zeros(count, values.shape[1]).index_add(0, labels, values)
    return (sums / sizes)[labels]


def lipschitz_on_regions(depth: Tensor, regions: Tensor) -> Tensor:
    """The smallest depths [V, h, w] >= ``depth`` whose adjacent regions differ by at most one.

    A region has one depth. ``regions`` [V, h, w] holds consecutive labels in each view, distinct
    across views.
    """
    smooth = []
    for chosen, labels in zip(depth, regions, strict=True):
        own = labels - labels.min()
        count = int(own.max()) + 1
        per_region = chosen.new_zeros(count).scatter(0, own.flatten(), chosen.flatten())
        smooth.append(lipschitz_regions(per_region, region_adjacency(own, count))[own])
    return torch.stack(smooth)
