"""Routers that decide per token how many recursions it takes: expert choice and token choice.

After Mixture-of-Recursions (Bae et al. 2025, §2.2.1); scores, router gates and losses equal the
official code's, and so do the names of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RouterKind = Literal["linear", "mlp"]
Activation = Literal["sigmoid", "tanh", "none", "softmax"]


def as_is(x: Tensor) -> Tensor:
    """``x`` [...] itself: no activation."""
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "none": as_is,
}


@dataclass(frozen=True)
class RouterSettings:
    """How a router scores tokens."""

    kind: RouterKind = "linear"
    activation: Activation = "sigmoid"  # softmax: token choice only
    alpha: float = 0.1  # factor on the activation
    temperature: float = 1.0
    auxiliary: bool = False  # expert choice: a second router learns to predict the top k
    bias_step: float = 1e-3  # token choice: step of loss-free balancing


class LinearRouter(nn.Module):
    """One linear layer without bias."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.router = nn.Linear(dim, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.router(x)


class MLPRouter(nn.Module):
    """Two linear layers without bias, GELU between, twice as wide inside."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.router = nn.Sequential(
            nn.Linear(dim, 2 * dim, bias=False), nn.GELU(), nn.Linear(2 * dim, out, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.router(x)


ROUTERS = {"linear": LinearRouter, "mlp": MLPRouter}


class ExpertChoice(nn.Module):
    """The router of one recursion: scores the patches alive, keeps the best."""

    def __init__(self, dim: int, settings: RouterSettings) -> None:
        super().__init__()
        self.settings = settings
        self.mor_router = ROUTERS[settings.kind](dim, 1)
        if settings.auxiliary:
            self.mlp_router = ROUTERS[settings.kind](dim, 1)

    def logits(self, alive: Tensor) -> Tensor:
        """Scores before activation [B, n] of tokens [B, n, C]."""
        return self.mor_router(alive / self.settings.temperature).squeeze(-1)

    def gate(self, logits: Tensor) -> Tensor:
        """The router gate [B, n]: alpha times the activation of ``logits`` [B, n]."""
        activated = ACTIVATIONS[self.settings.activation](logits)
        return activated if self.settings.activation == "none" else self.settings.alpha * activated

    def keep(self, logits: Tensor, count: int) -> Tensor:
        """Positions [B, count] of the best of ``logits`` [B, n], ascending: order is kept."""
        return self.gate(logits).topk(count, dim=1, sorted=False).indices.sort(1).values

    def losses(self, alive: Tensor, logits: Tensor, kept: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of being kept, its accuracies and the z loss; none of them is weighted.

        ``alive`` [B, n, C] were scored ``logits`` [B, n], those at ``kept`` [B, k] were kept. An
        auxiliary router has no z loss.
        """
        target = torch.zeros_like(logits).scatter(1, kept, 1.0)
        judged = logits
        # a token counts as guessed from half on: of its sigmoid, or of the logit where that is all
        likely = 0.5 if self.settings.activation == "none" else 0.0
        out: dict[str, Tensor] = {}
        if self.settings.auxiliary:
            likely = 0.0
            judged = self.mlp_router(alive.detach()).squeeze(-1)  # the temperature is not its own
            guessed = judged.topk(kept.shape[1], dim=1).indices
            out["topk_acc"] = target.gather(1, guessed).mean()
        else:
            out["z_loss"] = logits.square().mean()
        out["aux_loss"] = F.binary_cross_entropy_with_logits(judged, target)
        out["aux_acc"] = ((judged >= likely) == (target > 0.5)).float().mean()
        return out


def capacity_at(capacity: float, progress: float) -> float:
    """``capacity`` in its warm-up: falls from 1 by a half cosine as ``progress`` goes to 1."""
    falling = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, progress)))))
    return capacity + (1 - capacity) * falling


def kept_count(capacity: float, total: int) -> int:
    """Tokens that a recursion keeps of ``total`` in the original sequence."""
    return max(1, int(capacity * total))


class TokenChoice(nn.Module):
    """The router at the entry: every token chooses how many recursions it takes."""

    bias: Tensor

    def __init__(self, dim: int, depths: int, settings: RouterSettings) -> None:
        super().__init__()
        self.settings = settings
        self.depths = depths
        self.mor_router = ROUTERS[settings.kind](dim, depths)
        self.register_buffer("bias", torch.zeros(depths))  # moved by loss-free balancing only
        self.last_ratio: Tensor | None = None

    def probabilities(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and activated scores [..., depths] of tokens [..., C]."""
        logits = self.mor_router(x / self.settings.temperature)
        softmax = self.settings.activation == "softmax"
        activated = logits.softmax(-1) if softmax else torch.sigmoid(logits)
        return logits, self.settings.alpha * activated

    def choose(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Depth index (from 0) and router gate [...] of ``probabilities`` [..., depths].

        The bias moves the choice, not the router gate.
        """
        depth = (probabilities + self.bias).argmax(-1)
        return depth, probabilities.gather(-1, depth[..., None]).squeeze(-1)

    def losses(self, logits: Tensor, probabilities: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Balancing loss, the share of tokens per depth, and the z loss; none of them is weighted.

        ``logits`` and ``probabilities`` [..., depths] of tokens that chose the index ``depth``
        [...].
        """
        counts = torch.bincount(depth.flatten(), minlength=self.depths)
        ratio = counts.to(probabilities) / depth.numel()
        self.last_ratio = ratio.detach()
        balancing = (probabilities.flatten(0, -2).mean(0) * self.depths * ratio).sum()
        return {
            "balancing_loss": balancing,
            "balancing_ratio": ratio,
            "z_loss": logits.logsumexp(-1).square().mean(),
        }

    @torch.no_grad()
    def move_bias(self) -> None:
        """Loss-free balancing: towards depths that were chosen too rarely, by a fixed step."""
        if self.last_ratio is not None:
            rare = self.last_ratio.mean() - self.last_ratio
            self.bias += self.settings.bias_step * torch.sign(rare)
