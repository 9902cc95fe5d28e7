"""My method: one sentence.

Copy this file to methods/NAME.py, rename what is in capitals, then run
`bench3r check methods/NAME.py`. As it stands it keeps every query, key and value: an option that
changes nothing is the first thing to test.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench3r.api.method import Method, MethodOptions
from bench3r.models.layers import Core, TokenLayout, attention_modules


class Options(MethodOptions):
    """Settings with published defaults; lists of values in a configuration are axes."""

    stride: int = Field(1, ge=1, description="every so many-th key and value is kept; 1 keeps all")


class MyCore(Core):
    """How queries meet keys. Parameters made here are saved under ``core.`` of their layer."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        """Attend ``q`` [B, heads, Nq, d] to ``k``, ``v`` [B, heads, Nk, d].

        ``layout`` says which tokens are what. Returns [B, heads, Nq, d].
        """
        keys = k[:, :, :: self.stride]
        values = v[:, :, :: self.stride]
        return F.scaled_dot_product_attention(q, keys, values)


class MyMethod(Method):
    """What it changes and why that is cheaper, in one line (`bench3r list --methods` prints it)."""

    name = "NAME"  # in configurations; the file is called the same
    label = "NAME"  # in tables
    # what a backbone must let it change; ("schedule",) for which blocks run on which tokens
    hooks = ("attention",)
    source = "PAPER, VENUE YEAR"
    Options = Options

    def apply(self, model: nn.Module) -> None:
        """Change ``model`` in place: here the core of every global layer."""
        for _, attention in attention_modules(model, "global"):  # or "encoder", "frame", "head"
            attention.core = MyCore(self.options.stride)

    # Also possible: check (refuse a backbone or options at planning), fit (learn in closed form
    # from training scenes), deploy (how weights are stored), cost (MACs at published size without
    # running; `bench3r check` holds it against a count), build (a whole model, whose predictor says
    # in `counted` what its FLOPs are of). Derive from bench3r.api.method.TrainedMethod to be
    # fine-tuned before the comparison. docs/add_a_method.md has examples.
