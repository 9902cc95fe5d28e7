"""A method that looks for ground truth wherever a predictor can look, and records what it finds.

:func:`write_spy` copies this file to methods/spy.py with another kind and other conditions.
"""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import torch

from bench3r.api.method import Method
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import Frame, SceneData

KIND = "model"
CONDITIONS = ()
DATA = "data"  # part of the paths of prepared scenes
STEPS = 6  # attributes, items and closures that are followed
PLAIN = (str, bytes, int, float, bool, type(None), type, type(sys))


def holds(value, images):
    """What of ground truth ``value`` itself holds."""
    if isinstance(value, Frame):
        return ["frame"]
    if isinstance(value, SceneData) and np.array_equal(value.images, images):
        known = {
            "depth": value.depth is not None,
            "poses": np.isfinite(value.c2w).any(),
            "intrinsics": np.isfinite(value.intrinsics).any(),
        }
        return [name for name, there in known.items() if there]
    return []


def parts(value):
    """What can be reached from ``value`` in one step without a call."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set)):
        return list(value)
    inside = list(vars(value).values()) if hasattr(value, "__dict__") else []
    for name in getattr(type(value), "__slots__", ()):
        inside.append(getattr(value, name, None))
    if isinstance(value, FunctionType):
        inside += [cell.cell_contents for cell in value.__closure__ or ()]
    return inside


def search(value, images, steps, seen):
    if id(value) in seen or isinstance(value, PLAIN):
        return []
    seen[id(value)] = value
    found = holds(value, images)
    if steps:
        for part in parts(value):
            found += search(part, images, steps - 1, seen)
    return found


def files(value, steps):
    """Files and folders of the run that are named by what can be reached from ``value``."""
    if isinstance(value, (str, Path)):
        return [str(value)] if DATA in str(value) else []
    inside = parts(value) if steps else []
    return [path for part in inside for path in files(part, steps - 1)]


def in_arguments(images, told):
    """What the call itself brings: arguments, and what hangs on the images."""
    found = [f"argument {name}" for name in told]
    found += [f"attribute {name}" for name in vars(images)]
    if images._base is not None or images.grad_fn is not None:
        found.append("history")
    if images.untyped_storage().nbytes() != images.numel() * images.element_size():
        found.append("storage")
    return found


def in_frames(shown):
    """What local variables of the callers hold, the tests' own left out."""
    found = []
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "tests" not in file and "pytest" not in file:
            found += [f"local {f}" for f in search(dict(frame.f_locals), shown, STEPS, {})]
        frame = frame.f_back
    return found


def in_memory(shown):
    """What scenes with these images hold, wherever they are kept."""
    gc.collect()
    scenes = [value for value in gc.get_objects() if type(value) is SceneData]
    return [f"memory {f}" for scene in scenes for f in holds(scene, shown)]


class Spy(Method):
    """Says what it finds."""

    name = "spy"
    label = "spy"
    kind = KIND
    conditions_on = CONDITIONS

    def build(self, context):
        def predict(images, **told):
            shown = images[0].permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).numpy()
            found = in_arguments(images, told)
            found += [f"context {f}" for f in search([context, self], shown, STEPS, {})]
            found += [f"file {p}" for p in files([vars(context), told], 3)]
            found += in_frames(shown) + in_memory(shown)
            b, s, _, h, w = images.shape
            out = Reconstruction(
                torch.eye(4)[:3].expand(b, s, 3, 4),
                torch.eye(3).expand(b, s, 3, 3),
                torch.ones(b, s, h, w),
                torch.ones(b, s, h, w),
            )
            out.facts["found"] = sorted(set(found))
            return out

        return predict


def write_spy(folder: Path, kind: str, conditions: tuple[str, ...]) -> None:
    """Write methods/spy.py below ``folder``, where the run prepares its scenes."""
    text = Path(__file__).read_text()
    for name, value in (("KIND", kind), ("CONDITIONS", conditions), ("DATA", str(folder))):
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, count=1, flags=re.M)
    (folder / "methods" / "spy.py").write_text(text)
