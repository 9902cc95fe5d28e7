"""The contract test of a method file: what ``bench3r check`` runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import METHODS, BuildContext, Method, MethodOptions, conditions_of
from bench3r.models.backbones import build_predictor
from bench3r.models.catalogue import backbones
from bench3r.models.weights import SHIPPED, save_safetensors


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
    yield f"loads: {cls.name} ({cls.label}), kind {cls.kind}, options {list(cls.Options.model_fields) or 'none'}"
    chosen = (
        list(cls.backbones or ["none"])
        if cls.kind in ("control", "model")
        else [b for b in backbones() if cls.backbones is None or b in cls.backbones]
    )
    if not chosen:
        raise Bench3RError(f"{file}: {cls.name} names no known backbone ({cls.backbones})")
    for backbone in chosen:
        yield from _run(cls, backbone)


def _run(cls: type[Method], backbone: str) -> Iterator[str]:
    """Fit, build and predict at the tiny scale on a small procedural scene."""
    from bench3r.jobs.predict_worker import check_prediction
    from bench3r.stages.train import fit_scenes

    method, scene = cls(), next(fit_scenes(1, (72, 96), 3))
    try:
        method.check(backbone, "tiny")
    except Unsupported as error:
        yield f"{backbone}: unsupported, as the method says: {error}"
        return
    with tempfile.TemporaryDirectory() as folder:
        fitted = None
        if method.needs_training:
            learned = method.fit(fit_scenes(3, (72, 96), 3), BuildContext(backbone, "tiny"))
            fitted = Path(folder) / "fitted.safetensors"
            save_safetensors(fitted, learned or {})
        weights = SHIPPED / f"{backbone}-tiny.safetensors"
        context = BuildContext(
            backbone, "tiny", weights=weights if weights.exists() else None, fitted=fitted
        )
        predictor = build_predictor(method, context)
        images = torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
        with torch.inference_mode():
            out = check_prediction(predictor(images, **conditions_of(method, scene)), images)
            again = predictor(images, **conditions_of(method, scene))
    if not torch.equal(out.depth, again.depth):
        raise Bench3RError(f"{cls.name} on {backbone}: two calls with the same input differ")
    yield f"{backbone}: reconstructs 3 views of 72 x 96, finite, right shapes, the same twice"
