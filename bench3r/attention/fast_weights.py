"""Fast weights: a small network per head that stores keys and values by gradient steps.

After "Test-Time Training Done Right" (Zhang et al. 2025). The SwiGLU network is f(x) = (silu(x W0)
* (x W2)) W1; a step adds the orthogonalised gradient of sum_t lr_t <f(k_t), v_t> to each matrix
(the dot product is maximised) and scales every column back to its first norm. Cost per token does
not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# keys and values [N, L, d], three step sizes [N, L, 1]
Stored = tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Muon's coefficients
NORM_EPS = 1e-5


def orthogonalise(
    g: Tensor,
    steps: int = 5,
    eps: float = 1e-7,
    coefficients: tuple[float, float, float] = NEWTON_SCHULZ,
) -> Tensor:
    """Approximate orthogonal factor of ``g`` [..., m, n] by Newton-Schulz iterations (Muon).

    Singular values end up around 1 (0.7 to 1.2), very small ones below. With 0 steps only the
    Frobenius norm is divided out.
    """
    a, b, c = coefficients
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


@dataclass
class FastWeights:
    """Weights of the fast networks, one network per row."""

    w0: Tensor  # [N, d, hidden]
    w1: Tensor  # [N, hidden, d]
    w2: Tensor  # [N, d, hidden]

    def norms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Column norms [N, 1, columns] of the three matrices, to which every step returns."""
        return (
            self.w0.norm(dim=1, keepdim=True),
            self.w1.norm(dim=1, keepdim=True),
            self.w2.norm(dim=1, keepdim=True),
        )

    def apply(self, x: Tensor) -> Tensor:
        """f(x) of ``x`` [N, L, d]."""
        return (F.silu(x @ self.w0) * (x @ self.w2)) @ self.w1

    def gradients(
        self, k: Tensor, v: Tensor, lr: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of sum_t lr_t <f(k_t), v_t> with respect to w0, w1 and w2, in closed form.

        ``k``, ``v`` [N, L, d]; ``lr`` three step sizes [N, L, 1], each of which enters only its own
        matrix's gradient.
        """
        gate = k @ self.w0
        up = k @ self.w2
        sigmoid = gate.sigmoid()
        silu = gate * sigmoid
        back = v @ self.w1.mT  # [N, L, hidden]
        slope = sigmoid * (1 + gate * (1 - sigmoid))
        g0 = k.mT @ (lr[0] * back * up * slope)
        g1 = (silu * up).mT @ (lr[1] * v)
        g2 = k.mT @ (lr[2] * back * silu)
        return g0, g1, g2

    def step(
        self, gradients: Sequence[Tensor], norms: Sequence[Tensor], newton_schulz: int = 5
    ) -> FastWeights:
        """The weights after adding orthogonalised ``gradients``, columns scaled back to ``norms``.

        Of each matrix, gradient [N, rows, columns] and norms [N, 1, columns].
        """
        moved = []
        for w, g, norm in zip((self.w0, self.w1, self.w2), gradients, norms, strict=True):
            w = w + orthogonalise(g, newton_schulz).to(w.dtype)
            moved.append(w / (w.norm(dim=1, keepdim=True) + NORM_EPS) * norm)
        return FastWeights(*moved)

    def fit(
        self,
        tokens: Sequence[Stored],
        steps: int,
        chunk: int,
        newton_schulz: int = 5,
        sum_of: Callable[[Tensor], Tensor] | None = None,
    ) -> FastWeights:
        """The weights after ``steps`` full-batch steps on all tokens.

        ``tokens``: keys and values [N, L, d] and step sizes [N, L, 1], in parts of any length L.
        Gradients are computed for at most ``chunk`` tokens at a time and added up in float32.
        ``sum_of`` adds up what several processes, each with some of the tokens, have of a gradient.
        Raises ValueError when there is nothing to store.
        """
        if not tokens:
            raise ValueError("there are no tokens to store in the fast weights")
        weights = self
        norms = self.norms()
        for _ in range(steps):
            total: list[Tensor] = []
            for ks, vs, *rates in _chunks(tokens, chunk):
                part = weights.gradients(ks, vs, rates)
                total = _added(total, part)
            if sum_of is not None:
                total = [sum_of(part) for part in total]
            weights = weights.step(total, norms, newton_schulz)
        return weights

    def expand(self, batch: int) -> FastWeights:
        """The same networks for each of ``batch`` scenes: rows repeated, scene by scene."""
        return FastWeights(*(w.repeat(batch, 1, 1) for w in (self.w0, self.w1, self.w2)))


def _added(total: Sequence[Tensor], part: Sequence[Tensor]) -> list[Tensor]:
    """``total`` [N, rows, columns] plus ``part``, of each matrix, in float32 at least."""
    wide = [g.to(torch.promote_types(g.dtype, torch.float32)) for g in part]
    return [a + b for a, b in zip(total, wide, strict=True)] if total else wide


def _chunks(tokens: Sequence[Stored], chunk: int) -> Iterator[tuple[Tensor, ...]]:
    """Keys, values and the three step sizes of at most ``chunk`` tokens at a time."""
    for k, v, rates in tokens:
        yield from zip(*(x.split(chunk, 1) for x in (k, v, *rates)), strict=True)


def initial_weights(
    heads: int, dim: int, hidden: int, generator: torch.Generator | None = None
) -> FastWeights:
    """Random networks with standard deviation sqrt(2 / fan in)."""

    def draw(rows: int, columns: int) -> Tensor:
        return torch.randn(heads, rows, columns, generator=generator) * (2 / rows) ** 0.5

    return FastWeights(draw(dim, hidden), draw(hidden, dim), draw(dim, hidden))


def unit(x: Tensor, eps: float = NORM_EPS) -> Tensor:
    """``x`` [..., C] divided by its L2 norm over channels plus ``eps``."""
    return x / (x.norm(dim=-1, keepdim=True) + eps)
