"""The smallest configuration, and changes of it."""

from __future__ import annotations

from typing import Any

GOOD: dict[str, Any] = {
    "name": "t",
    "methods": {"vggt": {}, "oracle": {}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 2}},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The smallest configuration with other values."""
    return {**GOOD, **changes}
