"""Counts multiply-adds with fvcore, and says so when it meets an operator whose cost is not known.

fvcore counts one multiply-add as one "flop": that is ``macs`` here, and ``flops = 2 * macs``.
Matrix products, convolutions and attention are counted; elementwise work, norms, softmax and
interpolation are not (they are below 1 % and implementations disagree about them). An operator
outside both lists is an error.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode, register_flop_formula

from bench3r.api.errors import Bench3RError
from bench3r.attention.segments import SEGMENT_ATTENTION
from bench3r.attention.sparse import COUNTED_FROM_MAP, kept_pairs

ATTENTION = "aten::scaled_dot_product_attention"

# operators that move or combine elements without multiply-adds worth counting
# (linalg_*: of 3 x 3 or 4 x 4 matrices)
FREE_NAMES = """
__and__ __or__ _linalg_det _linalg_svd _unique2 _upsample_bicubic2d_aa abs abs_ acos
adaptive_avg_pool2d add add_ addcmul all amax amin any arange argmax argmin argsort as_strided asin
atan atan2 atleast_1d avg_pool2d bincount bitwise_and bitwise_not bitwise_or bitwise_xor
broadcast_tensors cartesian_prod cat ceil chunk clamp clamp_max clamp_min clone contiguous copy_ cos
cosine_similarity cumsum detach diagonal div div_ elu empty empty_like eq exp exp_ expand expand_as
expm1 eye fill_ flatten flip floor floor_divide full full_like gather ge gelu gt hypot im2col index
index_add index_add_ index_copy index_copy_ index_fill index_put index_put_ index_select isfinite
isnan item layer_norm le lerp lift_fresh linalg_det linalg_inv linalg_inv_ex linalg_svd
linalg_vector_norm linspace log logical_and logical_not logical_xor logsumexp lt mT masked_fill
masked_fill_ masked_scatter masked_select max max_pool2d maximum mean median meshgrid min minimum
movedim mul mul_ nanmedian ne neg new_full new_ones new_tensor new_zeros nonzero norm normal_ numel
numpy_T one_hot ones ones_like pad permute pixel_shuffle pow prod rand randint randn reciprocal
reflection_pad2d relu relu_ remainder repeat repeat_interleave replication_pad2d reshape
resolve_conj roll rsqrt rsub scatter scatter_ scatter_add select sigmoid sign silu sin slice softmax
softplus sort split split_with_sizes sqrt square squeeze stack std sub sub_ sum tan tanh
tensor_split to topk transpose tril triu type_as unbind unflatten unfold unique unsqueeze
upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var view view_as where zeros zeros_like
"""
FREE = {f"aten::{name}" for name in FREE_NAMES.split()}


def attention_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Scaled dot-product attention: queries x keys and weights x values."""
    query = get_shape(inputs[0])
    key = get_shape(inputs[1])
    value = get_shape(inputs[2])
    pairs = math.prod(query[:-1]) * key[-2]
    return Counter({"attention": pairs * (query[-1] + value[-1])})


def baddbmm_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Batched matrix product with an added term."""
    a = get_shape(inputs[1])
    b = get_shape(inputs[2])
    return Counter({"baddbmm": a[0] * a[1] * a[2] * b[2]})


def matmul_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Matrix product of any two shapes, whose leading dimensions broadcast.

    fvcore's own handler takes the first one's.
    """
    a = list(get_shape(inputs[0]))
    b = list(get_shape(inputs[1]))
    a = [1, *a] if len(a) == 1 else a
    b = [*b, 1] if len(b) == 1 else b
    batch = math.prod(torch.broadcast_shapes(a[:-2], b[:-2]))
    return Counter({"matmul": batch * a[-2] * a[-1] * b[-1]})


def flex_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """FlexAttention over a block map, by the pairs of query and key that the call carries along."""
    query = get_shape(inputs[0])
    value = get_shape(inputs[2])
    return Counter({"flex_attention": inputs[6].toIValue() * (query[-1] + value[-1])})


def segment_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Attention inside segments, by the pairs of query and key that the call carries along."""
    heads, width = get_shape(inputs[0])[1:]
    value = get_shape(inputs[2])[-1]
    return Counter({"attention": inputs[7].toIValue() * heads * (width + value)})


def scaled_mm_macs(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Product of two FP8 matrices: each multiply-add counts as one, as in any precision."""
    rows, inner = get_shape(inputs[0])
    _, columns = get_shape(inputs[1])
    return Counter({"scaled_mm": rows * inner * columns})


HANDLERS: dict[str, Callable[..., Any] | None] = {
    ATTENTION: attention_macs,
    "aten::baddbmm": baddbmm_macs,
    "aten::matmul": matmul_macs,
    "aten::_scaled_dot_product_flash_attention_for_cpu": attention_macs,
    "aten::_scaled_dot_product_flash_attention": attention_macs,
    "aten::_scaled_dot_product_efficient_attention": attention_macs,
    "bench3r::flex_attention": flex_macs,
    "bench3r::segment_attention": segment_macs,
    "aten::_scaled_mm": scaled_mm_macs,
}
UNCOUNTED = (
    "aten::layer_norm",
    "aten::batch_norm",
    "aten::group_norm",
    "aten::upsample_bilinear2d",
    "aten::upsample_nearest2d",
    "aten::upsample_bicubic2d",
    "aten::grid_sampler",
    "aten::mean",
    "aten::sum",
    "aten::adaptive_avg_pool2d",
)


@dataclass(frozen=True)
class Count:
    """Multiply-adds of one forward pass, total and by module."""

    macs: int
    by_module: dict[str, int]

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.macs


class Flat(nn.Module):
    """Wraps a model so that the tracer sees tensors in and tensors out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The tensors of what the model makes of ``images`` (``tensors()``) and of its extras.

        The tracer drops what no output depends on; a criterion that was only looked at
        (``extras["decided_by"]``) would go uncounted.
        """
        out = self.model(images)
        extra: list[Any] = []
        for value in out.extras.values():
            extra += value if isinstance(value, list | tuple) else [value]
        return (*out.tensors().values(), *(v for v in extra if isinstance(v, Tensor)))


def count(model: nn.Module, images: Tensor) -> Count:
    """Multiply-adds of ``model(images)``, counted by fvcore.

    ``images`` [B, S, 3, H, W]; the model returns a Reconstruction or a PairOutput. Raises
    Bench3RError that names every operator whose cost is not known and says how to add it.
    """
    flat = Flat(model)
    analysis = FlopCountAnalysis(flat, images)
    analysis.set_op_handle(**dict.fromkeys(UNCOUNTED, _free), **HANDLERS)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.inference_mode():
        total = int(analysis.total())
        uncounted = set(analysis.unsupported_ops()) - FREE
        strange = sorted(op for op in uncounted if not op.startswith("prim::"))
    if strange:
        raise Bench3RError(
            f"no FLOP count for {', '.join(strange)}: add a handler to HANDLERS, "
            "or the name to FREE when it multiplies nothing, in bench3r/measure/flops.py"
        )
    modules = {k.removeprefix("model."): int(v) for k, v in analysis.by_module().items() if k}
    return Count(total, modules)


def _free(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter()


@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
def _cpu_attention_flops(
    query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    """torch's own counter does not know the CPU kernel of fused attention."""
    b, h, lq, d = query
    return 2 * b * h * lq * key[2] * (d + value[3])


@register_flop_formula(torch.ops.bench3r.flex_attention, get_raw=True)
def _flex_flops(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    q_block: int,
    k_block: int,
    pairs: int = COUNTED_FROM_MAP,
    **kwargs: Any,
) -> int:
    """As :func:`flex_macs`, for torch's counter: operands as of the operator."""
    if pairs < 0:
        pairs = kept_pairs(keep, k.shape[2], q_block, k_block)[1]
    return 2 * pairs * (q.shape[-1] + v.shape[-1])


@register_flop_formula(SEGMENT_ATTENTION)
def _segment_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """As :func:`segment_macs`, for torch's counter."""
    return 2 * args[-1] * query[1] * (query[2] + value[2])


def _uncompiled_counter() -> FlopCounterMode:
    """torch's counter without the import of the compiler that it makes to disable it.

    That takes two seconds in every process. Only for calls that nothing compiles; a torch whose
    counter is built otherwise just imports its compiler.
    """
    counter = FlopCounterMode(display=False)
    with contextlib.suppress(AttributeError):
        method: Any = _FlopCounterMode.__torch_dispatch__
        dispatch = method.__wrapped__
        vars(dispatch).setdefault("__dynamo_disable", dispatch)
    return counter


def count_torch(
    model: nn.Module, images: Tensor, call: Callable[[Tensor], Any] | None = None
) -> int:
    """Multiply-adds of ``model(images)`` by torch's FlopCounterMode, to check those of fvcore.

    ``images`` [B, S, 3, H, W]; ``call``: what is counted instead of ``model`` itself, which it
    uses.
    """
    # the counter's module tracker cannot follow parameters that are handed to modules as inputs
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad(), _uncompiled_counter() as counter:
            (call or model)(images)
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    return counter.get_total_flops() // 2


SCHEDULE_PARTS = {
    "router": ("schedule.router",),
    "routers": ("schedule.routers",),
    "recursion_norms": ("schedule.norms",),
    "recoveries": ("schedule.recoveries",),
    "probes": ("schedule.probes",),
}


def parts(model: Any, by_module: dict[str, int]) -> dict[str, int]:
    """Multiply-adds of a backbone by part: what a schedule adds, and the backbone's own parts."""
    found = {}
    for part, modules in {**SCHEDULE_PARTS, **model.parts}.items():
        macs = sum(by_module.get(module, 0) for module in modules)
        if macs:
            found[part] = macs
    return found


def parameter_parts(model: Any) -> dict[str, int]:
    """Parameters of the same parts, and of what belongs to none of them ("tokens")."""
    found: Counter[str] = Counter()
    where: dict[str, str] = {}  # start of a parameter's name -> part
    for part, modules in {**SCHEDULE_PARTS, **model.parts}.items():
        for module in modules:
            where.setdefault(f"{module}.", part)
    for name, parameter in model.named_parameters():
        part = next((p for start, p in where.items() if name.startswith(start)), "tokens")
        found[part] += parameter.numel()
    return dict(found)
