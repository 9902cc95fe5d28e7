"""Golden files that a test edits: the description, the arrays, or both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench3r.parity.check import outputs
from bench3r.parity.golden import Golden, read_golden
from tests.conftest import GOLDEN


class Planted:
    """A copy of the golden file ``case`` in ``folder``, to be edited and then computed."""

    def __init__(self, case: str, folder: Path) -> None:
        self.path = folder / f"{case}.json"
        self.raw: dict[str, Any] = json.loads((GOLDEN / f"{case}.json").read_text())
        self.arrays = dict(np.load(GOLDEN / f"{case}.npz"))

    def set(self, part: str, **values: Any) -> Planted:
        """Set entries of a part of the description."""
        self.raw[part] = {**self.raw.get(part, {}), **values}
        return self

    def drop(self, *names: str) -> Planted:
        """Leave out arrays."""
        for name in names:
            del self.arrays[name]
        return self

    def read(self) -> Golden:
        """The edited file."""
        self.path.write_text(json.dumps(self.raw))
        np.savez(self.path.with_suffix(".npz"), **self.arrays)
        return read_golden(self.path)

    def computed(self) -> Mapping[str, np.ndarray]:
        """What is computed of the edited file."""
        return outputs(self.read())
