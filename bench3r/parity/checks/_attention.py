"""An attention module with the weights of a case, with or without norms and rotary position."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.models.layers import Attention, rope_rows
from bench3r.parity.golden import Golden, Parameters

NORM_EPS = 1e-5  # of the official LayerNorm
NORMS = tuple(f"{side}_norm_{part}" for side in "qk" for part in ("weight", "bias"))


def norm_eps(value: JsonValue) -> float | None:
    """The eps of the LayerNorm of queries and keys that ``value`` describes; None: no norm.

    Raises ValueError for a norm that is not known.
    """
    if value is None or value is False:
        return None
    if value is True:
        return NORM_EPS
    match = re.fullmatch(r"LayerNorm eps ([\d.]+(?:e-?\d+)?)\b.*", str(value))
    if match is None:
        raise ValueError("expected null, or words such as 'LayerNorm eps 1e-5 per head'")
    return float(match[1])


def rope_frequency(value: JsonValue) -> float | None:
    """The base of the rotary position that ``value`` describes; None: there is none.

    As in the official code, a number of 0 or less says none as well. Raises ValueError for a
    position that is not known.
    """
    if isinstance(value, str):
        words = r"(?i)(?:2-?d )?(?:rope|rotary\w*)(?: ?2-?d)?\D*(\d+(?:\.\d+)?)"
        match = re.fullmatch(words, value)
        value = float(match[1]) if match else value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected null, a number, or words such as 'RoPE, frequency 100'")
    return float(value) if value > 0 else None


NormEps = Annotated[float | None, BeforeValidator(norm_eps)]
RopeFrequency = Annotated[float | None, BeforeValidator(rope_frequency)]


class AttentionParameters(Parameters):
    """Parameters of a case around one attention module."""

    heads: int = Field(ge=1)
    C: int | None = None
    head_dim: int | None = None
    qk_norm: NormEps = NORM_EPS


def attention_of(golden: Golden, p: AttentionParameters) -> Attention:
    """Global attention over the tokens ``x`` [B, N, C] of a case, with its weights.

    A file that does not mention the norm of queries and keys has it when it holds its weights.
    Raises Bench3RError for weights of a norm that the parameters exclude.
    """
    inputs = golden.tensors()
    width = inputs["x"].shape[-1]
    golden.agree(p, C=width, head_dim=width // p.heads)
    held = any(name in inputs for name in NORMS)
    eps = p.qk_norm
    if "qk_norm" not in p.model_fields_set and not held:
        eps = None
    if eps is None and held:
        raise Bench3RError(f"{golden.path}: qk_norm is null, but the file holds weights of it")
    attention = Attention(width, p.heads, qk_norm=eps is not None, role="global")
    names = {n: inputs[n.replace(".", "_")] for n, _ in attention.named_parameters()}
    attention.load_state_dict(names)
    if eps is not None:
        attention.q_norm.eps = eps
        attention.k_norm.eps = eps
    return attention


def rope_of(golden: Golden, attention: Attention, frequency: float | None) -> Tensor | None:
    """Rotary tables [2, N, 1, head_dim] for the case's positions ``pos`` [B, N, 2]; None without.

    Raises Bench3RError for a head dimension that no 2-D rotary position fits.
    """
    if frequency is None:
        return None
    head_dim = attention.proj.in_features // attention.heads
    try:
        return rope_rows(golden.tensors()["pos"][0], head_dim, frequency)
    except ValueError as error:
        raise Bench3RError(f"{golden.path}: {error}") from error
