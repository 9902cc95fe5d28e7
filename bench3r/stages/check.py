"""The contract test of a method file: what ``bench3r check`` runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import METHODS, BuildContext, Method, MethodOptions, conditions_of
from bench3r.jobs.predict_worker import check_prediction
from bench3r.models.backbones import build_predictor
from bench3r.models.catalogue import backbones
from bench3r.models.weights import SHIPPED, save_safetensors
from bench3r.stages.train import fit_scenes

SIZE = (72, 96)
VIEWS = 3


def check_method(file: Path) -> Iterator[str]:
    """Lines that say what was checked. Raises Bench3RError naming the first broken promise."""
    if not file.is_file():
        raise Bench3RError(f"{file}: no such file")
    cls = METHODS.entries(file.resolve())[0]
    for attribute in ("name", "label"):
        if not isinstance(getattr(cls, attribute, None), str):
            raise Bench3RError(f"{file}: {cls.__name__}.{attribute} must be a text")
    if not issubclass(cls.Options, MethodOptions):
        raise Bench3RError(
            f"{file}: {cls.__name__}.Options must derive from bench3r.api.method.MethodOptions"
        )
    options = list(cls.Options.model_fields) or "none"
    yield f"loads: {cls.name} ({cls.label}), kind {cls.kind}, options {options}"
    chosen = _backbones_of(cls)
    if not chosen:
        raise Bench3RError(f"{file}: {cls.name} names no known backbone ({cls.backbones})")
    for backbone in chosen:
        yield from _run(cls, backbone)


def _backbones_of(cls: type[Method]) -> list[str]:
    if cls.kind in ("control", "model"):
        return list(cls.backbones or ["none"])
    return [name for name in backbones() if cls.backbones is None or name in cls.backbones]


def _run(cls: type[Method], backbone: str) -> Iterator[str]:
    """Fit, build and predict at the tiny scale on a small procedural scene."""
    method = cls()
    try:
        method.check(backbone, "tiny")
    except Unsupported as error:
        yield f"{backbone}: unsupported, as the method says: {error}"
        return
    scene = next(fit_scenes(1, SIZE, VIEWS))
    with tempfile.TemporaryDirectory() as folder:
        predictor = build_predictor(method, _context(method, backbone, Path(folder)))
        images = torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
        given = conditions_of(method, scene)
        with torch.inference_mode():
            out = check_prediction(predictor(images, **given), images)
            again = predictor(images, **given)
    if not torch.equal(out.depth, again.depth):
        raise Bench3RError(f"{cls.name} on {backbone}: two calls with the same input differ")
    size = f"{SIZE[0]} x {SIZE[1]}"
    yield f"{backbone}: reconstructs {VIEWS} views of {size}, finite, right shapes, the same twice"


def _context(method: Method, backbone: str, folder: Path) -> BuildContext:
    """What ``method`` is built from: the weights that ship, and what it learned of three scenes."""
    fitted = None
    if method.needs_training:
        learned = method.fit(fit_scenes(3, SIZE, VIEWS), BuildContext(backbone, "tiny"))
        fitted = folder / "fitted.safetensors"
        save_safetensors(fitted, learned or {})
    shipped = SHIPPED / f"{backbone}-tiny.safetensors"
    weights = shipped if shipped.exists() else None
    return BuildContext(backbone, "tiny", weights=weights, fitted=fitted)
