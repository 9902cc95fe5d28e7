"""Starting one network's training from another's weights, where both have the same blocks.

What fits stands in the folder of the network that is to be trained (its ``start.py``); the rest of
it starts at random.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.models.catalogue import NETWORKS


def start_from(
    model: Any, source: str, state: dict[str, Tensor], images: Tensor | None = None
) -> int:
    """Load what fits of ``state``, the weights of the network ``source``, into ``model``.

    Returns how many tensors it was. With example ``images`` [B, S, 3, H, W] in [0, 1] a network
    may then adapt what it took. Raises Bench3RError when nothing fits.
    """
    network = NETWORKS.get(model.name)
    own = model.state_dict()
    taken: dict[str, Tensor] = {}
    start = network.part("start") if source in network.starts_from else None
    if start is not None:
        for name, value in getattr(start, f"from_{source}")(model, state).items():
            if name in own and own[name].shape == value.shape:
                taken[name] = value.to(own[name].dtype)
    if not taken:
        raise Bench3RError(f"nothing of the weights of {source} fits a {model.name}")
    model.load_state_dict({**own, **taken})
    adapt = getattr(start, "adapt", None)
    if adapt and images is not None:
        adapt(model, images)
    return len(taken)
