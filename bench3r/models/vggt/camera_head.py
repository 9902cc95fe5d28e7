"""VGGT's camera head: four refinement steps on the camera tokens of all views (VGGT §3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.layers import Block, Mlp

# absT_quaR_FoV: translation 3, quaternion xyzw 4, vertical and horizontal field of view
POSE_SIZE = 9


def activate_pose(raw: Tensor) -> Tensor:
    """Raw pose encodings [..., 9] -> pose encodings [..., 9].

    Translation and quaternion are linear, the field of view goes through a ReLU.
    """
    return torch.cat([raw[..., :7], F.relu(raw[..., 7:])], -1)


class CameraHead(nn.Module):
    """Predicts a pose encoding per view by repeated correction, with shared weights."""

    def __init__(self, dim_in: int = 2048, trunk_depth: int = 4, num_heads: int = 16) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(Block(dim_in, num_heads, role="head") for _ in range(trunk_depth))
        )
        self.token_norm = nn.LayerNorm(dim_in)
        self.trunk_norm = nn.LayerNorm(dim_in)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_SIZE))
        self.embed_pose = nn.Linear(POSE_SIZE, dim_in)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim_in, 3 * dim_in))
        self.pose_branch = Mlp(dim_in, dim_in // 2, POSE_SIZE)

    def refine(self, tokens: Tensor, normed: Tensor, pose: Tensor) -> Tensor:
        """The correction [B, S, 9] to the running raw ``pose`` [B, S, 9].

        Given camera ``tokens`` [B, S, C] and the same ``normed``.
        """
        shift, scale, gate = self.poseLN_modulation(self.embed_pose(pose)).chunk(3, -1)
        x = gate * (normed * (1 + scale) + shift) + tokens
        return self.pose_branch(self.trunk_norm(self.trunk(x)))

    def forward(self, camera_tokens: Tensor, steps: int = 4) -> list[Tensor]:
        """Camera tokens [B, S, C] of the last tap -> pose encodings [B, S, 9] of each step."""
        tokens = self.token_norm(camera_tokens)
        normed = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
        empty = self.empty_pose_tokens.expand(*tokens.shape[:2], -1)
        raw = None
        poses = []
        for _ in range(steps):
            if raw is None:
                raw = self.refine(tokens, normed, empty)
            else:
                raw = raw.detach()
                raw = raw + self.refine(tokens, normed, raw)
            poses.append(activate_pose(raw))
        return poses
