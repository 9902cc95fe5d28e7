"""No method mixes devices, in float32, where no precision hides it; few wait for the device."""

from __future__ import annotations

import pytest

from tests.helpers.gpu_free import cells

DEFAULT = cells.find()
# Waits for the device in a model's first prediction, most of them in the linear algebra of heads.
# Methods of packed tokens and pairs, which are not listed, wait for lengths that content decides.
WAITS = {
    "early_exit": 4,  # one for each exit, heads
    "fastvggt": 1,
    "spark3r": 5,  # four layers once look up whether they are sensitive
    "block_sparse": 1,
    "avggt": 1,
    "lite3r": 1,
    "vgg_t3": 1,
    "layer_skip": 1,
    "vggt": 0,
    "pi3": 1,
    "depth_anything_3": 1,
}


@pytest.mark.parametrize("cell", DEFAULT, ids=str)
def test_a_cell_keeps_to_one_device_and_waits_for_it_rarely(runs, cell):
    found = runs(cell, precision="fp32")
    assert found.status == "ok"
    waits = found.device.waits
    most = WAITS.get(cell.method.name, 10_000)
    assert sum(waits.values()) <= most, waits.most_common(4)
