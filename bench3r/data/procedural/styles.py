"""The three styles of procedural scenes, of honestly different spatial complexity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench3r.data.procedural.outdoor import outdoor
from bench3r.data.procedural.room import room
from bench3r.data.procedural.tabletop import tabletop
from bench3r.data.procedural.world import World

STYLES = ("room", "tabletop", "outdoor")
SCENE_TYPE = {"room": "indoor", "tabletop": "controlled", "outdoor": "real-world"}
BUILDERS: dict[str, Callable[[np.random.Generator], World]] = {
    "room": room,
    "tabletop": tabletop,
    "outdoor": outdoor,
}
