"""Every other choice of every option predicts in bf16 under CUDA's rules, each on one backbone."""

from __future__ import annotations

import pytest

from tests.helpers.gpu_free import cells

LONGER = {"chunk": 64}  # two tokens at a time take half a minute
CHOICES = []
for cell in cells.spread([c for c in cells.find(variants=True) if c.options]):
    options = {name: LONGER.get(name, value) for name, value in cell.options.items()}
    CHOICES.append(cells.Cell(cell.method, cell.backbone, options))


@pytest.mark.parametrize("cell", CHOICES, ids=str)
def test_a_choice_runs_in_bf16(runs, cell):
    runs(cell, precision="bf16")
