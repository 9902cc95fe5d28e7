"""Losses of a router that chooses a recursion depth for every patch of an image.

Equation numbers are those of Gupta and Kaur, Spatially Adaptive Efficient 3D Scene Reconstruction.
The paper states them on chosen depths, which have no gradient; here they act on the router's
probabilities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.recursion.depth import neighbour_differences


def balance_loss(probabilities: Tensor) -> Tensor:
    """Balance of depths (second term of equation 6): sum over depths of (share - 1 / K)^2.

    ``probabilities`` [..., K]: of every patch over the K depths; a share is their mean over
    patches.
    """
    share = probabilities.flatten(0, -2).mean(0)
    return (share - 1 / len(share)).square().sum()


def local_balance_loss(probabilities: Tensor, window: int, limit: float) -> Tensor:
    """Balance inside neighbourhoods (§IV.B): excess of a depth's share over ``limit``, squared.

    ``probabilities`` [V, h, w, K]; windows are ``window`` x ``window`` patches. The share is that
    of the actual choices; its gradient reaches the probabilities (straight-through).
    """
    chosen = F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).to(probabilities)
    used = chosen + probabilities - probabilities.detach()
    share = F.avg_pool2d(used.movedim(-1, 1), window, 1, window // 2, count_include_pad=False)
    return (share - limit).clamp(min=0).square().sum(1).mean()


def spatial_loss(soft_depth: Tensor, delta: float) -> Tensor:
    """Smoothness of depths [V, h, w] (equation 8): mean over neighbours of max(0, |difference| -
    delta).
    """
    pairs = torch.cat([d.flatten() for d in neighbour_differences(soft_depth)])
    return (pairs - delta).clamp(min=0).mean()
