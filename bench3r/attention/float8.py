"""FP8 (E4M3): simulated in training, stored in deployment.

Weights have one scale per output row, activations one per token; the scale is the largest magnitude
over 448. Where the hardware multiplies FP8 matrices, tokens are quantised as they come and the
product is one kernel; elsewhere both sides are read back from their codes before the product: the
memory and the values are real, the speed is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.chunks import autocast_dtype, tokens_in_chunks

LARGEST = 448.0  # E4M3 number
EPS = 1e-8


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """E4M3 codes of ``x`` [..., C] and their scales [..., 1], one per row."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=EPS) / LARGEST
    return (x / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn), scale


def fake_quantise(x: Tensor) -> Tensor:
    """``x`` [..., C] as its E4M3 codes would be dequantised, in its own precision.

    The gradient passes straight through.
    """
    codes, scale = quantise(x.detach())
    return x + ((codes.to(x.dtype) * scale) - x).detach()


class FakeQuantLinear(nn.Linear):
    """A linear layer whose weights, and activations if asked, go through E4M3 in training (QAT)."""

    quantise_activations: bool = True

    @classmethod
    def of(cls, linear: nn.Linear, activations: bool = True) -> FakeQuantLinear:
        """The same layer, sharing its parameters."""
        layer = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        layer.weight = linear.weight
        layer.bias = linear.bias
        layer.quantise_activations = activations
        return layer

    def forward(self, x: Tensor) -> Tensor:
        x = fake_quantise(x) if self.quantise_activations else x
        return F.linear(x, fake_quantise(self.weight), self.bias)


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """E4M3 codes [..., C] and scales [..., 1] of ``x`` [..., C] in any precision, by float32.

    On a GPU by one kernel that reads ``x`` and writes the codes; elsewhere step by step.
    """
    fused = x.device.type == "cuda" and not torch.is_grad_enabled() and not torch.jit.is_tracing()
    return _compiled_quantise()(x) if fused else _quantise_wide(x)


def _quantise_wide(x: Tensor) -> tuple[Tensor, Tensor]:
    return quantise(x.float())


@cache
def _compiled_quantise() -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    return torch.compile(_quantise_wide, dynamic=True)


def scaled_product(x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    """``x`` [..., in] times the transposed matrix ``codes`` [out, in] with scales [out, 1], in FP8.

    Tokens are quantised here; sums are kept in float32 and returned in bf16. Both widths must be
    multiples of 16.
    """
    tokens, token_scale = quantise_tokens(x.reshape(-1, x.shape[-1]))
    out = torch._scaled_mm(
        tokens, codes.t(), token_scale, scale.t().contiguous(), out_dtype=torch.bfloat16
    )
    return out.view(*x.shape[:-1], len(codes))


class StoredLinear(nn.Module):
    """A linear layer whose weight is stored in ``dtype``: FP8 with a scale per row, or bf16.

    It is dequantised when used, unless ``activations`` are FP8 as well: then tokens are quantised
    too, and where ``products`` says that the hardware can, both are multiplied as they are. Layers
    whose widths are no multiples of 16, which no such hardware multiplies, are emulated.
    """

    scale: Tensor | None

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype,
        activations: bool = False,
        products: bool = False,
    ) -> None:
        super().__init__()
        fits = linear.in_features % 16 == 0 and linear.out_features % 16 == 0
        self.activations = activations and dtype == torch.float8_e4m3fn
        self.products = self.activations and products and fits
        weight = linear.weight.detach()
        if dtype == torch.float8_e4m3fn:
            codes, scale = quantise(weight.float())
            self.weight = nn.Parameter(codes, requires_grad=False)
            self.register_buffer("scale", scale)
        else:
            self.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
            self.register_buffer("scale", None)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return tokens_in_chunks(self._product, x)

    def _product(self, x: Tensor) -> Tensor:
        """Outputs [..., out] of tokens ``x`` [..., in], in the precision of other products."""
        if self.products and self.scale is not None:
            out = scaled_product(x, self.weight, self.scale).to(autocast_dtype(x))
            return out if self.bias is None else out + self.bias.to(out.dtype)
        x = fake_quantise(x) if self.activations else x
        weight = self.weight.to(x.dtype)
        weight = weight if self.scale is None else weight * self.scale.to(x.dtype)
        return F.linear(x, weight, None if self.bias is None else self.bias.to(x.dtype))


def replace_linears(
    model: nn.Module, make: Callable[[nn.Linear], nn.Module], skip: tuple[type, ...] = ()
) -> int:
    """Put ``make(linear)`` in place of every linear layer of ``model``; returns how many.

    Modules of the types ``skip`` stay as they are.
    """
    count = 0
    for name, child in list(model.named_children()):
        if isinstance(child, skip):
            continue
        if type(child) is nn.Linear:
            setattr(model, name, make(child))
            count += 1
        else:
            count += replace_linears(child, make, skip)
    return count


def fp8_products(device: str) -> bool:
    """Whether ``device`` multiplies in FP8 (compute capability 8.9 or later)."""
    return (
        device.startswith("cuda")
        and torch.cuda.is_available()
        and torch.cuda.get_device_capability() >= (8, 9)
    )
