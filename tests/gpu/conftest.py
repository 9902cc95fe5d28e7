"""Cells by name, and what a pretended GPU makes of them."""

from __future__ import annotations

import pytest

from tests.helpers.gpu_free import cells


@pytest.fixture
def runs():
    """Run a cell on a pretended GPU; it must run to its end, or be refused by the method."""

    def run(cell, **how):
        frames = how.pop("frames", 2 if cell.method.kind == "model" else 3)
        found = cells.attempt(cell, frames, **how)
        said = f"{found.cell}: {found.status}: {found.where}: {found.reason}"
        assert found.status in ("ok", "refused"), said
        return found

    return run
