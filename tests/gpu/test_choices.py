"""Every other choice of every option predicts in bf16 under CUDA's rules, each on one backbone."""

from __future__ import annotations

import pytest

from tests.helpers.gpu_free import cells

CHOICES = cells.spread([c for c in cells.find(variants=True) if c.options])


@pytest.mark.parametrize("cell", CHOICES, ids=str)
def test_a_choice_runs_in_bf16(runs, cell):
    runs(cell, precision="bf16")
