"""Opening a prepared dataset, without what preparing it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench3r.api.dataset import Dataset
from bench3r.api.registry import load_one


def open_prepared(prepared: dict[str, Any]) -> Dataset:
    """The dataset whose preparation wrote ``prepared``."""
    cls = load_one("datasets", str(prepared["name"]), Dataset)
    return cls(Path(prepared["root"]), prepared["intrinsics"])
