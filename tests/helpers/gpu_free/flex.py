"""FlexAttention without a GPU: do the tiles that Inductor would choose divide the blocks?

The calls are those seen while methods run on the stand-in; the tiles come from the installed
torch's own tables, for the kinds of GPU in :data:`KINDS`. Inductor raises ValueError where nothing
divides (torch/_inductor/kernel/flex).
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from unittest import mock

import torch

from tests.helpers.gpu_free.flex_stand_in import FlexCall

KINDS = {
    "A100": (8, 0),
    "A40": (8, 6),
    "L40S": (8, 9),
    "H100": (9, 0),
    "B200": (10, 0),
    "RTX PRO 6000": (12, 0),
}
DECODE = 128  # fewer queries may take the decoding kernel


def tiles(call: FlexCall, capability: tuple[int, int]) -> list[tuple[int, int]]:
    """The (queries, keys) tiles that Inductor would try for ``call``, its options applied.

    On a GPU of ``capability``.
    """
    from torch._inductor.template_heuristics.triton import CUDAConfigHeuristic

    options = {k.removeprefix("fwd_"): v for k, v in call.kernel_options}
    with mock.patch("torch.cuda.get_device_capability", return_value=capability):
        heuristic = CUDAConfigHeuristic()
        if (
            call.queries < DECODE
            and options.get("BACKEND") not in ("TRITON", "FLASH")
            and not options.get("FORCE_USE_FLEX_ATTENTION")
        ):
            rows = call.blocks[0]  # the decoding kernel takes all queries at once
            return [
                (rows, options.get("BLOCK_N", min(c.block_n, call.blocks[1])))
                for c in heuristic.get_flex_decode_configs(call.head_dim, call.dtype)
            ]
        found = heuristic.get_flex_attn_fwd_configs(call.head_dim, call.dtype)
    return [(options.get("BLOCK_M", c.block_m), options.get("BLOCK_N", c.block_n)) for c in found]


def undivided(call: FlexCall) -> dict[str, list[tuple[int, int]]]:
    """Kinds of GPU on which no tile divides the blocks of ``call``, with the tiles there."""
    bad = {}
    for kind, capability in KINDS.items():
        tried = tiles(call, capability)
        if not any(call.blocks[0] % m == 0 and call.blocks[1] % n == 0 for m, n in tried):
            bad[kind] = tried
    return bad


def problems(calls: list[FlexCall]) -> list[str]:
    """One line for each different call that fails somewhere, in bfloat16 or float32."""
    lines = []
    kinds = (torch.bfloat16, torch.float32)
    seen = {
        replace(c, dtype=d, queries=DECODE if c.queries >= DECODE else 1, keys=0)
        for c, d in itertools.product(calls, kinds)
    }
    for call in sorted(seen, key=str):
        for kind, tried in undivided(call).items():
            blocks = f"blocks {call.blocks[0]} x {call.blocks[1]}, heads of {call.head_dim}"
            lines.append(
                f"{call.where}: {blocks}, {call.dtype}, on {kind}: tiles {tried} do not divide them"
            )
    return lines
