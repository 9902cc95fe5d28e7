"""Every method on every backbone it runs on, and one prediction of each on a stand-in."""

from __future__ import annotations

import dataclasses
import tempfile
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from bench3r.api.method import METHODS, BuildContext, TrainedMethod
from bench3r.api.registry import ROOT
from bench3r.models.backbones import build_predictor
from bench3r.models.catalogue import backbones, input_size
from bench3r.models.weights import SHIPPED, save_safetensors
from bench3r.stages.train import fit_scenes
from tests.helpers.gpu_free.device import PretendCuda
from tests.helpers.gpu_free.tensors import Active, DeviceMismatch, StandInLimit


@dataclass(frozen=True)
class Cell:
    """One method with options on one backbone."""

    method: Any
    backbone: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        chosen = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.method.name} x {self.backbone}" + (f" [{chosen}]" if chosen else "")

    def make(self) -> Any:
        """The method with its options."""
        return self.method(self.method.Options.model_validate(self.options))


@dataclass
class Outcome:
    """What became of a cell.

    ``status``: ok, fails (as a GPU would), limit (of this tool), refused (by the method).
    """

    cell: Cell
    status: Literal["ok", "fails", "limit", "refused"]
    reason: str = ""
    where: str = ""
    kind: str = ""
    device: Any = None  # the PretendCuda it ran on


def find(
    names: list[str] | None = None, among: list[str] | None = None, variants: bool = False
) -> list[Cell]:
    """All cells but those of controls, or those of ``names`` and of the networks ``among``.

    ``variants``: also every other choice of each single option.
    """
    found = []
    for name, cls in METHODS.all().items():
        if cls.kind == "control" or (names and name not in names):
            continue
        plugged = [b for b in backbones() if cls.backbones is None or b in cls.backbones]
        own = list(cls.backbones or []) if cls.kind == "model" else plugged
        for backbone in own:
            if among and backbone not in among:
                continue
            found.append(Cell(cls, backbone))
            if variants:
                found += [Cell(cls, backbone, chosen) for chosen in other_options(cls)]
    return found


def spread(found: list[Cell]) -> list[Cell]:
    """Each method and choice once: on one backbone after the other."""
    alike: dict[str, list[Cell]] = {}
    for cell in found:
        alike.setdefault(f"{cell.method.name} {cell.options}", []).append(cell)
    return [same[place % len(same)] for place, same in enumerate(alike.values())]


def fits_in_closed_form(cell: Cell) -> bool:
    """Whether something is fitted before the method is used, without training by gradient."""
    method = cell.make()
    return method.needs_training and not isinstance(method, TrainedMethod)


def other_options(cls: Any) -> Iterator[dict[str, Any]]:
    """Each choice (Literal, bool) and each count that is None by default, changed alone."""
    for name, about in cls.Options.model_fields.items():
        default = about.get_default(call_default_factory=True)
        for value in _choices(about.annotation):
            if value != default and value is not None:
                try:
                    cls.Options.model_validate({name: value})
                except ValueError:
                    continue
                yield {name: value}


def _choices(kind: Any) -> list[Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return list(arguments)
    if kind is bool:
        return [True, False]
    if origin in (typing.Union, types.UnionType):
        inside = [v for a in arguments if a is not type(None) for v in _choices(a)]
        return inside or ([2] if int in arguments else [])
    return []


def predict(
    cell: Cell,
    device: str,
    precision: Literal["fp32", "bf16"],
    frames: int,
    scale: str,
    size: tuple[int, int] | None = None,
    fit: bool = False,
) -> Any:
    """One prediction by the production path: build on the device, then call under inference mode.

    ``fit``: what a method fits in closed form is fitted first, on the device, and the predictor
    explains its result.
    """
    method = cell.make()
    method.check(cell.backbone, scale)
    torch.manual_seed(0)
    weights = SHIPPED / f"{cell.backbone}-{scale}.safetensors"
    context = BuildContext(
        cell.backbone, scale, device, precision, weights if weights.exists() else None
    )
    height, width = size or input_size(cell.backbone, scale)[:2]
    with tempfile.TemporaryDirectory() as folder:
        if fit and fits_in_closed_form(cell):
            fitted = Path(folder) / "fitted.safetensors"
            learned = method.fit(fit_scenes(3, (height, width), 3), context) or {}
            save_safetensors(fitted, {k: v.cpu() for k, v in learned.items()})
            context = dataclasses.replace(context, fitted=fitted)
        predictor: Any = build_predictor(method, context)
    images = pictures(frames, height, width, drawn=scale == "tiny").to(device)
    mode = Active.mode
    if mode is not None:
        mode.memory.reset()
        mode.waits.clear()
        mode.uploads.clear()
        mode.weights = mode.memory.live
    with torch.inference_mode():
        out = predictor(images)
        if fit and hasattr(predictor, "explain"):
            predictor.explain(images, out)
    return out


def pictures(frames: int, height: int, width: int, drawn: bool) -> torch.Tensor:
    """Images [1, S, 3, H, W] in [0, 1]: of a procedural scene if ``drawn``, else noise."""
    if drawn:
        scene = next(fit_scenes(1, (height, width), frames))
        return torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
    return torch.rand(1, frames, 3, height, width)


def attempt(
    cell: Cell,
    frames: int = 6,
    scale: str = "tiny",
    precision: Literal["fp32", "bf16"] = "bf16",
    values: bool = True,
    size: tuple[int, int] | None = None,
    fit: bool = False,
    **device: Any,
) -> Outcome:
    """Run ``cell`` on a pretended GPU and say what became of it."""
    mode = PretendCuda(values, project=str(ROOT), **device)
    try:
        with mode:
            predict(cell, "cuda", precision, frames, scale, size, fit)
    except Exception as error:  # whatever a method raises is the result
        return _failed(
            cell, error, mode, lambda: predict(cell, "cpu", "fp32", frames, scale, fit=fit)
        )
    return Outcome(cell, "ok", device=mode)


def _failed(cell: Cell, error: Exception, mode: PretendCuda, on_cpu: Callable[[], Any]) -> Outcome:
    text = f"{type(error).__name__}: {error}".splitlines()[0][:240]
    where = _where(error)
    if any(c.__name__ in ("Bench3RError", "Unsupported") for c in type(error).__mro__):
        return Outcome(cell, "refused", text, where)
    if isinstance(error, StandInLimit) or _is_limit(error):
        return Outcome(cell, "limit", text, where, device=mode)
    if not mode.values and mode.notes and isinstance(error, (ValueError, IndexError)):
        drawn = f"perhaps because its content was drawn at random: {text}"
        return Outcome(cell, "limit", drawn, where, device=mode)
    reason = _fails_anyway(on_cpu) if mode.values else ""
    if reason:
        return Outcome(cell, "refused", f"fails in float32 on a CPU as well: {reason}", where)
    mixed = isinstance(error, DeviceMismatch) or "numpy()" in text
    return Outcome(cell, "fails", text, where, "device" if mixed else _kind(text), mode)


def _kind(text: str) -> str:
    words = ("dtype", "bfloat16", "scalar type", "same type", "half")
    return "dtype" if any(w in text.lower() for w in words) else "other"


def _is_limit(error: BaseException) -> bool:
    """Whether torch, not the project, cannot go on with stand-ins."""
    known = (
        "accelerator device when none",
        "Torch not compiled with CUDA",
        "tensor subclasses",
        "not linked with support for cuda",
        "from the 'CUDA' backend",
        "meta tensor",
    )
    return any(words in str(error) for words in known)


def _fails_anyway(on_cpu: Callable[[], Any]) -> str:
    try:
        on_cpu()
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:160]
    return ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if f.filename.startswith(str(ROOT)) and "site-packages" not in f.filename
    ]
    return f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "?"
