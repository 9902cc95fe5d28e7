"""Named, versioned scoring rules. One module is one protocol: VERSION, METRICS (name -> unit) and score(Scored).

Optional: WEIGHT, the metric that weighs scenes in means; NAN_REASON, why a metric may be missing.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from bench3r.api.errors import unknown
from bench3r.files import digest, file_digest

FOLDER = Path(__file__).parent
PROTOCOLS = tuple(sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "base")))


@cache
def load_protocol(name: str) -> ModuleType:
    """The protocol module called ``name``. Raises Bench3RError for an unknown one."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return importlib.import_module(f"{__name__}.{name}")


def protocol_hash(name: str) -> str:
    """Hash of a protocol's rule: its own file, the shared steps and the metric functions."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    metrics = sorted((FOLDER.parent / "metrics").glob("*.py"))
    return digest([file_digest(p) for p in (FOLDER / f"{name}.py", FOLDER / "base.py", *metrics)])
