"""Parity with official code: rebuild what a golden file describes, compare every array, obey its gates.

A golden file is FILE.json (what is computed, with which parameters, and the gates) and FILE.npz (the arrays).
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from bench3r.errors import Bench3RError, describe, unknown
from bench3r.files import read_json, read_npz
from bench3r.models.vggt import VGGT
from bench3r.models.vggt_config import VGGTConfig


def generator(name: str) -> np.random.Generator:
    """The golden files' random generator for ``name``."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def fill_value(name: str, shape: tuple[int, ...]) -> Tensor:
    """Deterministic weight of parameter ``name`` (the files' ``weights_rule``)."""
    g = generator(name).standard_normal(shape).astype(np.float32)
    parts = name.split(".")
    if parts[-1] == "gamma" or (parts[-1] == "weight" and len(parts) > 1 and len(shape) == 1):
        value = 1 + np.float32(0.05) * g
    elif len(shape) <= 1:
        value = np.float32(0.05) * g
    elif name.endswith("weight"):
        value = g / np.float32(np.sqrt(np.prod(shape[1:])))
        value = value * np.float32(0.02) if name.endswith("flow_head.weight") else value
    else:
        value = np.float32(0.5) * g
    return torch.from_numpy(np.asarray(value, np.float32))


def fill(model: torch.nn.Module) -> None:
    """Give every floating-point entry of the state dict its deterministic value."""
    state = {n: fill_value(n, tuple(t.shape)) if t.is_floating_point() else t for n, t in model.state_dict().items()}
    model.load_state_dict(state)


def check_names(model: torch.nn.Module, tensors: dict[str, list[int]], where: str) -> None:
    """Raise Bench3RError unless the state dict has exactly the names and shapes that the file lists."""
    own = {n: list(t.shape) for n, t in model.state_dict().items()}
    wrong = sorted(n for n in own.keys() | tensors.keys() if own.get(n) != tensors.get(n))
    if wrong:
        raise Bench3RError(f"{where}: {len(wrong)} parameters differ from the official ones in name or shape: {wrong[:6]}")


def vggt_outputs(case: dict[str, Any], where: str) -> dict[str, np.ndarray]:
    """All arrays of a VGGT case, computed by this implementation."""
    config = dict(case["config"])
    sizes = {k: config[k] for k in ("aggregator", "camera", "dpt", "track", "track_dpt") if k in config}
    try:
        model = VGGT(VGGTConfig.model_validate(sizes)).eval()
    except ValidationError as error:
        raise describe(error, f"{where}: config") from error
    except ValueError as error:
        raise Bench3RError(f"{where}: {error}") from error
    check_names(model, case["tensors"], where)
    fill(model)
    b, v, h, w = (int(config[k]) for k in "BVHW")
    images = torch.from_numpy(generator("input").random((b, v, 3, h, w)).astype(np.float32))
    count = case["outputs"].get("query_points", [b, 8, 2])[1]
    points = generator("query_points").random((b, count, 2)).astype(np.float32)
    queries = torch.from_numpy(points * np.array([w - 1, h - 1], np.float32))
    with torch.inference_mode():
        return _collect(model, images, queries)


def _collect(model: VGGT, images: Tensor, queries: Tensor) -> dict[str, np.ndarray]:
    out, layout = model.run_trunk(images, keep_all=True)
    r = model.run_heads(out, layout, images, queries)
    arrays = {
        "pose_enc": r.extras["pose_encodings"][-1], "pose_enc_all": torch.stack(r.extras["pose_encodings"]),
        "depth": r.depth[..., None], "depth_conf": r.depth_conf, "world_points": r.world_points,
        "world_points_conf": r.world_points_conf, "extrinsic": r.extrinsics, "query_points": queries,
        "track": r.tracks, "track_all": torch.stack(r.extras["tracks"]), "vis": r.visibility, "conf": r.track_conf,
    }  # fmt: skip
    arrays |= {f"tokens_L{i}_sub": t[:, :, :8, ::16] for i, t in out.taps.items()}
    grid, chunk = (layout.height, layout.width), model._chunk(images)
    (fmap,) = model.track_head.feature_extractor(out.taps, layout.special, grid, chunk)
    arrays["track_fmap_sub"] = fmap[:, :, ::8, ::3, ::3]
    tracks, visibility, confidence = model.track_head.tracker(queries, fmap, 1)
    arrays |= {"track_iter1": tracks[0], "vis_iter1": visibility, "conf_iter1": confidence}
    return {k: a.numpy() for k, a in arrays.items() if a is not None}


MODELS = {"vggt": vggt_outputs}


REQUIRED = {"model": ("config", "tensors", "outputs"), "method": ("parameters",)}


def outputs(case: dict[str, Any], arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The arrays of any kind of case. Raises Bench3RError for kinds and models that are not implemented."""
    if case["kind"] == "method":
        from bench3r.parity_methods import method_outputs

        return method_outputs(case, arrays, where)
    if case.get("model") not in MODELS:
        raise unknown("model", str(case.get("model")), MODELS, where)
    return MODELS[case["model"]](case, where)


def gate_for(name: str, gates: list[dict[str, Any]], where: str) -> dict[str, Any]:
    """The first gate whose pattern fits ``name``."""
    for gate in gates:
        if fnmatchcase(name, gate["arrays"]):
            return gate
    raise Bench3RError(f"{where}: no gate for array {name!r}")


def judge(ours: np.ndarray, truth: np.ndarray, gate: dict[str, Any]) -> tuple[float, bool]:
    """The error that ``gate`` speaks about and whether it passes."""
    metric = gate["metric"]
    if ours.shape != truth.shape:
        return float("inf"), False
    if metric == "equal":
        return float(np.mean(ours != truth)), bool(np.array_equal(ours, truth))
    a, b = ours.astype(np.float64), truth.astype(np.float64)
    if metric == "relnorm":
        error = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-300))
        return error, error <= gate["tol"]
    if metric == "log_close":
        error = float(np.abs(np.log(a) - np.log(b)).max())
        return error, error <= gate["atol"]
    if metric != "close":
        raise unknown("gate metric", metric, ["close", "equal", "relnorm", "log_close", "ignore"])
    same_nan = np.isnan(a) == np.isnan(b)
    difference = np.where(np.isnan(b), 0, np.abs(a - b))
    missed = ~same_nan | ~(difference <= gate["atol"] + gate["rtol"] * np.abs(np.nan_to_num(b)))
    return float(np.nanmax(difference, initial=0)), bool(missed.mean() <= gate.get("allow_fraction", 0.0))


def gate_text(gate: dict[str, Any]) -> str:
    """A gate in words."""
    limits = {k: gate[k] for k in ("atol", "rtol", "tol", "allow_fraction") if k in gate}
    return " ".join([gate["metric"], *(f"{k} {v:g}" for k, v in limits.items())])


def check_file(path: Path) -> tuple[list[list[str]], bool]:
    """Rows (array, error, gate, verdict) for every array of the golden file ``path`` and whether all passed."""
    case, truth = read_json(path), read_npz(path.with_suffix(".npz"))
    if case.get("kind") not in REQUIRED:
        raise unknown("kind of golden file", str(case.get("kind")), REQUIRED, str(path))
    missing = [k for k in ("gates", *REQUIRED[case["kind"]]) if k not in case]
    if missing:
        raise Bench3RError(f"{path}: golden file without {', '.join(missing)}")
    ours = outputs(case, truth, str(path))
    rows, passed = [], True
    for name in (n for n in truth if not n.startswith("in_")):
        gate = gate_for(name, case["gates"], str(path))
        if name not in ours:
            good, error = gate["metric"] == "ignore", float("nan")
        elif gate["metric"] == "ignore":
            good, error = True, _largest(ours[name], truth[name])
        else:
            error, good = judge(ours[name], truth[name], gate)
        passed &= good
        verdict = "not gated" if gate["metric"] == "ignore" else "pass" if good else "FAIL"
        rows.append([name, f"{error:.2e}", gate_text(gate), verdict])
    return rows, passed


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else float("inf")
