"""The contract test of a method file: what ``bench3r check`` runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch

from bench3r.api.cost import Cost
from bench3r.api.errors import Bench3RError, InvalidPrediction, Unsupported
from bench3r.api.method import (
    METHODS,
    BuildContext,
    CountedPredictor,
    Method,
    MethodOptions,
    Predictor,
    TrainedMethod,
    conditions_of,
)
from bench3r.api.reconstruction import Reconstruction
from bench3r.jobs.predict_worker import check_prediction
from bench3r.measure import flops
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import backbones, unchanged_cost
from bench3r.models.weights import SHIPPED, save_safetensors
from bench3r.run.keys import shipped_part
from bench3r.stages.train import fit_scenes

SIZE = (72, 96)
VIEWS = 3
EXACT = 0.02  # share by which a closed form may miss the count: last blocks are partly empty
ASSUMED = 0.25  # where it assumes something about the content, which one scene need not keep
KNOWN = "the recursion depths are those of the input"


def check_method(file: Path) -> Iterator[str]:
    """Lines that say what was checked. Raises Bench3RError naming the first broken promise."""
    if not file.is_file():
        raise Bench3RError(f"{file}: no such file")
    cls = METHODS.entries(file.resolve())[0]
    _check_name(cls, file.resolve())
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


def _check_name(cls: type[Method], file: Path) -> None:
    """Raise Bench3RError when another file holds a method of the same name."""
    taken = METHODS.usable()[0].get(cls.name)
    if taken is not None and METHODS.file_of(cls.name).resolve() != file:
        other = METHODS.file_of(cls.name)
        raise Bench3RError(f"{file}: the name {cls.name!r} is already taken by {other}")


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
        context = _context(method, backbone, Path(folder))
        predictor = build_predictor(method, context)
        images = torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
        given = conditions_of(method, scene)
        if isinstance(method, TrainedMethod) and context.fitted is None:
            method.calibrate(cast(BackbonePredictor, predictor).model, images)
        with torch.inference_mode():
            out = predictor(images, **given)
            sound = _sound(method, context, out, images)
            again = predictor(images, **given)
            counted = _count(method, predictor, images)
    if not torch.equal(out.depth.nan_to_num(), again.depth.nan_to_num()):
        raise Bench3RError(f"{cls.name} on {backbone}: two calls with the same input differ")
    size = f"{SIZE[0]} x {SIZE[1]}"
    yield f"{backbone}: reconstructs {VIEWS} views of {size}, {sound}, the same twice"
    if counted is not None:
        yield f"{backbone}: {_compared(method, backbone, out, counted)}"


def _sound(method: Method, context: BuildContext, out: Reconstruction, images: torch.Tensor) -> str:
    """What is right about ``out``, a reconstruction of ``images`` [1, S, 3, H, W].

    Raises InvalidPrediction for what is none. That of a network before its fine-tuning, a blend of
    weights that never ran together, may be not finite.
    """
    try:
        check_prediction(out, images)
    except InvalidPrediction:
        untrained = isinstance(method, TrainedMethod) and context.fitted is None
        if not untrained or not isinstance(out, Reconstruction):
            raise
        if any("NaN" not in problem for problem in out.problems(images)):
            raise
        return "right shapes, not finite before it is fine-tuned"
    return "finite, right shapes"


def _count(method: Method, predictor: Predictor, images: torch.Tensor) -> flops.Count | None:
    """The multiply-adds of ``predictor`` on ``images`` [1, S, 3, H, W]; None for controls.

    Raises Bench3RError for one that does not say what to count, and for operations without a rule.
    """
    if method.kind == "control":
        return None
    if not isinstance(predictor, CountedPredictor):
        raise Bench3RError(
            f"{method.name}: what `build` returns has no `counted(images)`, so that its FLOPs "
            "would be missing from every table (bench3r.api.method.CountedPredictor)"
        )
    return flops.count(predictor.counted(images), images)


def _compared(method: Method, backbone: str, out: Reconstruction, counted: flops.Count) -> str:
    """What was counted beside the closed form. Raises Bench3RError when the two disagree."""
    found = _closed_form(method, backbone, out)
    if found is None:
        return f"{counted.macs / 1e6:,.1f} M MACs counted, no closed form"
    both = f"{counted.macs / 1e6:,.1f} M MACs counted, {found.macs / 1e6:,.1f} M in closed form"
    error = abs(found.macs - counted.macs) / counted.macs
    if error > (ASSUMED if found.assumed else EXACT):
        raise Bench3RError(
            f"{method.name} on {backbone}: {both} ({found.macs / counted.macs:.2f} times): `cost` "
            f"is wrong{', or what it assumes: ' + found.assumed if found.assumed else ''}"
        )
    return f"{both}{', assuming that ' + found.assumed if found.assumed else ''}"


def _closed_form(method: Method, backbone: str, out: Reconstruction) -> Cost | None:
    """What ``method.cost`` says of the input of ``out``, at the recursion depths that it shows."""
    unchanged = unchanged_cost(backbone, "tiny", VIEWS, SIZE)
    reported = out.facts.get("depth_histogram")
    if not isinstance(reported, list):
        return method.cost(unchanged)
    histogram = [float(count) for count in reported]
    shares = tuple(count / sum(histogram) for count in histogram[1:])
    found = method.cost(unchanged.with_depth_shares(shares, KNOWN))
    if found is None or found.assumed != KNOWN:
        return found
    return Cost(found.parts)


def _context(method: Method, backbone: str, folder: Path) -> BuildContext:
    """What ``method`` is built from: the weights that ship, or what it learned of three scenes.

    Nothing of methods that are fine-tuned, where no weights of theirs ship.
    """
    fitted = _shipped(method, backbone)
    if fitted is None and method.needs_training and not isinstance(method, TrainedMethod):
        learned = method.fit(fit_scenes(3, SIZE, VIEWS), BuildContext(backbone, "tiny"))
        fitted = folder / "fitted.safetensors"
        save_safetensors(fitted, learned or {})
    shipped = SHIPPED / f"{backbone}-tiny.safetensors"
    weights = shipped if shipped.exists() else None
    return BuildContext(backbone, "tiny", weights=weights, fitted=fitted)


def _shipped(method: Method, backbone: str) -> Path | None:
    """The trained weights that ship for ``method``, if it is one of the project's own."""
    if METHODS.usable()[0].get(method.name) is not type(method):
        return None
    return shipped_part(method.name, method.options.model_dump(mode="json"), backbone, "tiny")
