"""FlexAttention's tiles divide the blocks of every call, on every kind of GPU, in bf16 and fp32."""

from __future__ import annotations

import pytest
import torch

from bench3r.attention.sparse import tiles
from tests.helpers.gpu_free import cells
from tests.helpers.gpu_free.flex import problems
from tests.helpers.gpu_free.flex_stand_in import FlexCall

SPARSE = [
    ("block_sparse", "pi3", {}),
    ("block_sparse", "depth_anything_3", {"special_keys": "always"}),
    ("lite3r", "vggt", {}),
    ("lite3r", "pi3", {"level": "sla"}),
    ("lite3r", "depth_anything_3", {"level": "three_way", "padding": "released"}),
]


@pytest.mark.parametrize(("name", "backbone", "options"), SPARSE)
def test_calls_at_published_size_have_tiles(runs, name, backbone, options):
    (cell,) = cells.find([name], [backbone])
    cell = cells.Cell(cell.method, backbone, options)
    found = runs(cell, frames=2, scale="full", values=False, size=(140, 140), precision="bf16")
    calls = list(found.device.flex)
    trunk = {torch.bfloat16}  # heads are in float32
    assert trunk <= {c.dtype for c in calls} <= trunk | {torch.float32}
    assert {c.head_dim for c in calls} == {64}
    assert not problems(calls)


@pytest.mark.parametrize("head_dim", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("blocks", [(16, 16), (64, 64), (128, 64), (128, 128), (48, 32)])
def test_tiles_divide_any_blocks(blocks, head_dim):
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        options = tuple(sorted(tiles(*blocks, head_dim, dtype).items()))
        call = FlexCall(dtype, head_dim, 4096, 4096, blocks, options, "here")
        assert not problems([call])


def test_calls_without_tiles_of_their_own_are_found():
    call = FlexCall(torch.bfloat16, 64, 4096, 4096, (64, 64), (), "here")
    assert any("A100" in line for line in problems([call]))
