"""Every method on every backbone predicts in bf16 under CUDA's own autocast rules."""

from __future__ import annotations

import pytest

from tests.helpers.gpu_free import cells

DEFAULT = cells.find()
# what a method fits in closed form is fitted on the device, on one backbone each
FITTED = cells.spread([c for c in DEFAULT if cells.fits_in_closed_form(c)])


@pytest.mark.parametrize("cell", DEFAULT, ids=str)
def test_a_cell_runs_in_bf16(runs, cell):
    assert runs(cell, precision="bf16").status == "ok"


@pytest.mark.parametrize("cell", FITTED, ids=str)
def test_what_is_fitted_on_the_device_is_used_there(runs, cell):
    assert runs(cell, precision="bf16", fit=True).status == "ok"
