"""Opening a prepared dataset, without what preparing it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench3r.api.dataset import DATASETS, Dataset


def open_prepared(prepared: dict[str, Any]) -> Dataset:
    """The dataset whose preparation wrote ``prepared``."""
    cls = DATASETS.get(str(prepared["name"]))
    return cls(Path(prepared["root"]), prepared["intrinsics"])
