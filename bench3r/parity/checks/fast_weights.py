"""Fast weights: orthogonalisation, updates and reads, and a whole layer, in three precisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from bench3r.attention.fast_weights import (
    NEWTON_SCHULZ,
    NORM_EPS,
    FastWeights,
    orthogonalise,
    unit,
)
from bench3r.parity.golden import Check, Golden, Inputs, Outputs, Parameters


class OrthogonaliseParameters(Parameters):
    """Parameters of a case of the Newton-Schulz iterations alone."""

    steps: int = Field(ge=0)
    eps: float = 1e-7
    coefficients: tuple[float, float, float] = NEWTON_SCHULZ
    batch: int | None = None
    rows: int | None = None
    cols: int | None = None


class StepParameters(Parameters):
    """Parameters of the steps of fast weights."""

    newton_schulz_steps: int = Field(ge=0)
    norm_eps: float = NORM_EPS

    @field_validator("norm_eps")
    @classmethod
    def _known(cls, value: float) -> float:
        if value != NORM_EPS:
            raise ValueError(f"unknown value: expected {NORM_EPS}")
        return value


class UpdateParameters(StepParameters):
    """Parameters of a case of updates and reads."""

    batch_times_heads: int | None = None
    tokens: int | None = None
    d: int | None = None
    hidden: int | None = None
    ops: list[list[int]] | None = None


class LayerParameters(StepParameters):
    """Parameters of a case of a whole layer."""

    heads: int = Field(ge=1)
    base_lr: float = Field(gt=0)
    dim: int | None = None
    head_dim: int | None = None
    inter_multi: int | None = None


class HalfNewtonSchulz(FastWeights):
    """Fast weights whose Newton-Schulz iterations run in bfloat16, as released."""

    def step(
        self, gradients: Sequence[Tensor], norms: Sequence[Tensor], newton_schulz: int = 5
    ) -> FastWeights:
        rounded = [g.bfloat16() for g in gradients]
        moved = super().step(rounded, norms, newton_schulz)
        return HalfNewtonSchulz(moved.w0, moved.w1, moved.w2)


PRECISIONS: dict[str, type[FastWeights]] = {
    "fp32": FastWeights,
    "nsbf16": HalfNewtonSchulz,
    "autocast": HalfNewtonSchulz,
}


@dataclass
class Tokens:
    """Queries, keys, values [N, L, d] and one step size [N, L, 1] per matrix."""

    q: Tensor
    k: Tensor
    v: Tensor
    rates: Sequence[Tensor]

    def part(self, start: int, end: int) -> Tokens:
        """The tokens from ``start`` to ``end``."""
        part = slice(start, end)
        rates = [r[:, part] for r in self.rates]
        return Tokens(self.q[:, part], self.k[:, part], self.v[:, part], rates)

    def gradients(self, weights: FastWeights) -> tuple[Tensor, Tensor, Tensor]:
        """Of the three matrices, [N, rows, columns] each."""
        return weights.gradients(self.k, self.v, self.rates)


@contextmanager
def precision(name: str) -> Iterator[type[FastWeights]]:
    """The fast weights of a precision, and autocast where it is that."""
    with torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast"):
        yield PRECISIONS[name]


def run(
    weights: FastWeights, ops: Tensor, tokens: Tokens, steps: int
) -> tuple[FastWeights, Tensor]:
    """Updates and reads in the order of ``ops`` [n, 4] (start, end, update, apply).

    Returns the weights after them and what was read, [N, L, d].
    """
    norms = weights.norms()
    read = []
    for start, end, update, apply in ops.tolist():
        part = tokens.part(start, end)
        if update:
            weights = weights.step(part.gradients(weights), norms, steps)
        if apply:
            read.append(weights.apply(part.q))
    return weights, torch.cat(read, 1)


def matrices(inputs: Inputs[Tensor]) -> list[Tensor]:
    """The three matrices [N, rows, columns] that a case starts from."""
    return [inputs[f"w{i}"] for i in range(3)]


def named(weights: FastWeights, prefix: str, suffix: str) -> dict[str, Tensor]:
    """The three matrices [N, rows, columns] under their names in the files."""
    found = {}
    for i, w in enumerate((weights.w0, weights.w1, weights.w2)):
        found[f"{prefix}_w{i}_{suffix}"] = w
    return found


def orthogonalised(golden: Golden) -> Outputs:
    """The orthogonal factor in both precisions."""
    p = golden.parameters(OrthogonaliseParameters)
    g = golden.tensors()["G"]
    batch, rows, columns = g.shape
    golden.agree(p, batch=batch, rows=rows, cols=columns)
    half = orthogonalise(g.bfloat16(), p.steps, p.eps, p.coefficients)
    return {
        "out_X_fp32": orthogonalise(g, p.steps, p.eps, p.coefficients),
        "out_X_nsbf16": half.float(),
    }


def updates(golden: Golden) -> Outputs:
    """The first gradients, and weights and outputs after all operations."""
    p = golden.parameters(UpdateParameters)
    steps = p.newton_schulz_steps
    inputs = golden.tensors()
    networks, length, d = inputs["k"].shape
    golden.agree(p, batch_times_heads=networks, tokens=length, d=d)
    golden.agree(p, hidden=inputs["w0"].shape[2], ops=inputs["ops"].tolist())
    rates = [inputs[f"lr{i}"] for i in range(3)]
    tokens = Tokens(inputs["q"], inputs["k"], inputs["v"], rates)
    out: dict[str, Tensor] = {}
    updating = [row for row in inputs["ops"].tolist() if row[2]]
    if updating:
        start, end = updating[0][:2]
        first = tokens.part(start, end).gradients(FastWeights(*matrices(inputs)))
        out = {f"mid_grad{i}": g for i, g in enumerate(first)}
    for name in PRECISIONS:
        with precision(name) as cls:
            weights, y = run(cls(*matrices(inputs)), inputs["ops"], tokens, steps)
        out |= {key: w.float() for key, w in named(weights, "out", name).items()}
        out[f"out_Y_{name}"] = y.float()
    return out


def layer(golden: Golden) -> Outputs:
    """Output of the layer, and in full precision its weights and step sizes."""
    out: dict[str, Tensor] = {}
    for name in PRECISIONS:
        weights, rate, y = _layer(golden, name)
        out[f"out_y_{name}"] = y
        if name == "fp32":
            out |= named(weights, "mid", name)
            out["mid_lr"] = rate
    return out


def _layer(golden: Golden, name: str) -> tuple[FastWeights, Tensor, Tensor]:
    """Projections, updates and reads, norm, output projection."""
    p = golden.parameters(LayerParameters)
    inputs = golden.tensors()
    x = inputs["x"]
    _, head_dim, hidden = inputs["w0"].shape
    golden.agree(p, dim=x.shape[-1], head_dim=head_dim, inter_multi=hidden / head_dim)
    with precision(name) as cls:
        qkv = F.silu(F.linear(x, inputs["to_qkv_weight"])).chunk(3, -1)
        q, k, v = (per_head(t, p.heads) for t in qkv)
        offset = torch.tensor(p.base_lr).expm1().log()
        raw = F.linear(x, inputs["lr_fc_weight"], inputs["lr_fc_bias"])
        rate = F.softplus(raw.float() + offset)
        rates = [t.transpose(1, 2).flatten(0, 1)[..., None] for t in rate.chunk(3, -1)]
        start = cls(*(w.repeat(len(x), 1, 1) for w in matrices(inputs)))
        tokens = Tokens(unit(q), unit(k), v, rates)
        weights, y = run(start, inputs["ops"], tokens, p.newton_schulz_steps)
        y = F.rms_norm(y, y.shape[-1:], inputs["o_norm_weight"], 1e-5)
        y = y.unflatten(0, (len(x), p.heads)).transpose(1, 2).flatten(2)
        return weights, rate, F.linear(y, inputs["c_proj_weight"]).float()


def per_head(x: Tensor, heads: int) -> Tensor:
    """[B, L, C] -> [B * heads, L, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case, whose inputs say which it is."""
    inputs = golden.tensors()
    if "k" in inputs:
        return updates(golden)
    return layer(golden) if "to_qkv_weight" in inputs else orthogonalised(golden)


CHECK = Check(
    name="fast_weights",
    kind="method",
    golden=("lact",),
    outputs=outputs,
    needs=("parameters",),
    reads=("parameters",),
)
