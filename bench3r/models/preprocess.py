"""Images of a scene as models take them."""

from __future__ import annotations

import torch
from torch import Tensor

from bench3r.api.scene import SceneData


def scene_images(scene: SceneData, device: str = "cpu") -> Tensor:
    """The images of a loaded scene as models take them: [1, S, 3, H, W] in [0, 1]."""
    return torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float().div(255).to(device)
