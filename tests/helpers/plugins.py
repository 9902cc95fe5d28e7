"""A method for tests of faults: the oracle, which does something bad first."""

from __future__ import annotations

from pathlib import Path

CODE = '''"""Does {line} before every scene."""
import time

from bench3r.api.method import METHODS, Method


class Bad(Method):
    name = "{name}"
    label = "{name}"
    kind = "control"
    conditions_on = ("ground_truth",)

    def build(self, context):
        oracle = METHODS.get("oracle")().build(context)

        def predict(images, ground_truth):
            {line}
            return oracle(images, ground_truth)

        return predict
'''


def write_oracle_that(folder: Path, name: str, line: str) -> None:
    """Write methods/NAME.py below ``folder``: the oracle after ``line`` of Python."""
    (folder / "methods" / f"{name}.py").write_text(CODE.format(name=name, line=line))
