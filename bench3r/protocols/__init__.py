"""Named, versioned scoring rules. One file is one protocol: its ``PROTOCOL``, and ``score``.

``base.py`` says what a protocol and a metric are, ``scored.py`` what a protocol scores,
``missing.py`` why a metric can be missing.
"""

from __future__ import annotations

from pathlib import Path

from bench3r.api.errors import unknown
from bench3r.api.registry import Registry, instance_of
from bench3r.files import code_digest
from bench3r.protocols.base import Metric, Protocol

FOLDER = Path(__file__).parent
SHARED = ("base", "scored", "missing")  # the files that hold no protocol
PROTOCOLS: Registry[Protocol] = Registry(
    "protocol", FOLDER, __name__, instance_of(Protocol), leave_out=SHARED
)


def metric_of(protocol: str, name: str) -> Metric:
    """The metric ``name`` of a protocol. Raises Bench3RError when either does not exist."""
    return PROTOCOLS.get(protocol).metric(name)


def protocol_hash(name: str) -> str:
    """Hash of what a protocol does: its own file, the shared steps and the metric functions.

    Raises Bench3RError for an unknown protocol.
    """
    shared = [FOLDER / f"{stem}.py" for stem in SHARED]
    metrics = sorted((FOLDER.parent / "metrics").glob("*.py"))
    files = PROTOCOLS.files()
    if name not in files:
        raise unknown("protocol", name, files)
    return code_digest([files[name], *shared, *metrics])
