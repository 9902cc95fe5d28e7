"""Simulated FP8 (E4M3) of a linear layer: codes, scales, output and straight-through gradients."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from bench3r.attention.float8 import EPS, FakeQuantLinear, fake_quantise, quantise
from bench3r.parity.golden import Check, Golden, Outputs, Parameters


class QuantParameters(Parameters):
    """Parameters of a case."""

    B: int | None = None
    N: int | None = None
    inputs: int | None = Field(None, alias="in")
    outputs: int | None = Field(None, alias="out")
    bias: bool | None = True
    activation_quant: bool = True
    format: Literal["float8_e4m3fn"] = "float8_e4m3fn"
    eps: float = EPS

    @model_validator(mode="after")
    def _known(self) -> QuantParameters:
        if self.eps != EPS:
            raise ValueError(f"eps {self.eps} is unknown: expected {EPS}")
        return self


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    p = golden.parameters(QuantParameters)
    inputs = golden.tensors()
    x = inputs["x"].requires_grad_()
    weight = inputs["weight"]
    outward, inward = weight.shape
    golden.agree(p, B=x.shape[0], N=x.shape[1], inputs=inward, outputs=outward)
    linear = torch.nn.Linear(inward, outward, bias=bool(p.bias))
    linear.weight.data = weight
    if p.bias:
        linear.bias.data = inputs["bias"]
    layer = FakeQuantLinear.of(linear, p.activation_quant)
    y = layer(x)
    (y * inputs["cotangent"]).sum().backward()
    out: dict[str, Tensor | None] = {
        "out_y": y,
        "out_grad_x": x.grad,
        "out_grad_weight": layer.weight.grad,
        "out_grad_bias": layer.bias.grad if p.bias else None,
        "out_x_dequant": fake_quantise(x),
        "out_w_dequant": fake_quantise(weight),
        "out_x_dequant_bf16input": fake_quantise(x.detach().bfloat16()).float(),
    }
    for name, value in (("x", x.detach()), ("w", weight)):
        codes, scale = quantise(value)
        out[f"mid_{name}_scale"] = scale
        out[f"mid_{name}_code_values"] = codes.float()
        out[f"mid_{name}_code_bits"] = codes.view(torch.uint8)
    return out


CHECK = Check(
    name="fp8_linear",
    kind="method",
    golden=("lite3r_fp8",),
    outputs=outputs,
    needs=("parameters",),
    reads=("parameters",),
)
