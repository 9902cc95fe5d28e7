"""An attention module with the weights of a case."""

from __future__ import annotations

from torch import Tensor

from bench3r.models.layers import Attention
from bench3r.parity.golden import Inputs


def attention_of(inputs: Inputs[Tensor], heads: int) -> Attention:
    """Global attention over the tokens ``x`` [B, N, C] of a case, with its weights."""
    attention = Attention(inputs["x"].shape[-1], heads, qk_norm=True, role="global")
    names = {n: inputs[n.replace(".", "_")] for n, _ in attention.named_parameters()}
    attention.load_state_dict(names)
    return attention
