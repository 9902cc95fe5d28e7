"""Data that several tests of loaders read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.procedural import write_roots


@pytest.fixture(scope="session")
def procedural_roots(tmp_path_factory) -> dict[str, Path]:
    """One procedural scene in every layout that has a writer; tests change only copies."""
    return write_roots(tmp_path_factory)
