"""Parity of models: rebuild the small configuration that a golden file describes and run it on the file's input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.models.depth_anything_3.config import (
    DINOV2_NAMES,
    CameraEncoderConfig,
    DepthAnything3Config,
    DinoConfig,
    DualDPTConfig,
)
from bench3r.models.depth_anything_3.network import DepthAnything3
from bench3r.models.geometry import transform_points
from bench3r.models.pi3.config import EncoderConfig, HeadConfig, Pi3Config
from bench3r.models.pi3.network import Pi3
from bench3r.models.vggt.config import DINOV2_SIZES, VGGTConfig
from bench3r.models.vggt.network import VGGT


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
    """Give every parameter its deterministic value (the last name of a tensor with several decides); buffers stay."""
    state = model.state_dict()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        state[name] = fill_value(name, tuple(parameter.shape))
    model.load_state_dict(state)


def check_names(model: torch.nn.Module, tensors: dict[str, list[int]], where: str) -> None:
    """Raise Bench3RError unless the state dict has exactly the names and shapes that the file lists."""
    own = {n: list(t.shape) for n, t in model.state_dict().items()}
    wrong = sorted(n for n in own.keys() | tensors.keys() if own.get(n) != tensors.get(n))
    if wrong:
        raise Bench3RError(
            f"{where}: {len(wrong)} parameters differ from the official ones in name or shape: {wrong[:6]}"
        )


def build(cls: Any, config: Callable[[], Any], tensors: dict[str, list[int]], where: str) -> Any:
    """The model of a case with the deterministic weights. Raises Bench3RError where its configuration does not fit."""
    try:
        model = cls(config()).eval()
    except ValidationError as error:
        raise describe(error, f"{where}: config") from error
    except ValueError as error:
        raise Bench3RError(f"{where}: {error}") from error
    check_names(model, tensors, where)
    fill(model)
    return model


def random_images(*shape: int) -> Tensor:
    """The golden files' input images."""
    return torch.from_numpy(generator("input").random(shape).astype(np.float32))


def vggt_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a VGGT case, computed by this implementation."""
    config = dict(case["config"])
    sizes = {
        k: config[k] for k in ("aggregator", "camera", "dpt", "track", "track_dpt") if k in config
    }
    model = build(VGGT, lambda: VGGTConfig.model_validate(sizes), case["tensors"], where)
    b, v, h, w = (int(config[k]) for k in "BVHW")
    images = random_images(b, v, 3, h, w)
    count = case["outputs"].get("query_points", [b, 8, 2])[1]
    points = generator("query_points").random((b, count, 2)).astype(np.float32)
    queries = torch.from_numpy(points * np.array([w - 1, h - 1], np.float32))
    with torch.inference_mode():
        return _collect(model, images, queries)


def _collect(model: VGGT, images: Tensor, queries: Tensor) -> dict[str, np.ndarray]:
    out, layout = model.run_trunk(images, keep_all=True)
    r = model.run_heads(out, layout, images, queries)
    arrays = {
        "pose_enc": r.extras["pose_encodings"][-1],
        "pose_enc_all": torch.stack(r.extras["pose_encodings"]),
        "depth": r.depth[..., None],
        "depth_conf": r.depth_conf,
        "world_points": r.world_points,
        "world_points_conf": r.world_points_conf,
        "extrinsic": r.extrinsics,
        "query_points": queries,
        "track": r.tracks,
        "track_all": torch.stack(r.extras["tracks"]),
        "vis": r.visibility,
        "conf": r.track_conf,
    }
    arrays |= {f"tokens_L{i}_sub": t[:, :, :8, ::16] for i, t in out.taps.items()}
    grid, chunk = (layout.height, layout.width), model.chunk(images)
    (fmap,) = model.track_head.feature_extractor(out.taps, layout.special, grid, chunk)
    arrays["track_fmap_sub"] = fmap[:, :, ::8, ::3, ::3]
    tracks, visibility, confidence = model.track_head.tracker(queries, fmap, 1)
    arrays |= {"track_iter1": tracks[0], "vis_iter1": visibility, "conf_iter1": confidence}
    return {k: a.numpy() for k, a in arrays.items() if a is not None}


PI3_ENCODERS = {
    "vits": "dinov2_vits14_reg",
    "vitb": "dinov2_vitb14_reg",
    "vitl": "dinov2_vitl14_reg",
}


def pi3_config(c: dict[str, Any]) -> Pi3Config:
    """The configuration of a case; the decoder is as wide as its encoder."""
    dim, depth, heads = DINOV2_SIZES[PI3_ENCODERS[c.get("encoder", "vitl")]]
    head = HeadConfig(dim=c["head_dim"], heads=c["head_heads"], depth=c["head_depth"])
    return Pi3Config(
        encoder=EncoderConfig(dim=dim, depth=depth, heads=heads),
        depth=c["dec_depth"],
        heads=heads,
        head=head,
        head_out=c["head_out"],
        camera_dim=c["cam_dim"],
    )


def pi3_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a π³ case."""
    c = case["config"]
    if c.get("encoder", "vitl") not in PI3_ENCODERS:
        raise unknown("encoder", c["encoder"], PI3_ENCODERS, where)
    model = build(Pi3, lambda: pi3_config(c), case["tensors"], where)
    images = random_images(int(c.get("B", 1)), c["V"], 3, c["H"], c["W"])
    with torch.inference_mode():
        out, layout = model.run_trunk(images)
        raw = model.run_heads(out, layout, images).extras
        tokens = out.taps[model.taps[-1]]
        camera = model.camera_decoder(tokens.flatten(0, 1), layout)
        encoded = model.encoder((images.flatten(0, 1) - model.image_mean) / model.image_std)
    poses, local = raw["camera_poses"], raw["local_points"]
    found = {
        "points": transform_points(poses, local),
        "local_points": local,
        "camera_poses": poses,
        "conf": raw["conf_logits"][..., None],
        "enc_sub": encoded[:, :, ::16],
        "dec_sub": tokens.flatten(0, 1)[:, :, ::32],
        "cam_dec_sub": camera[:, :, ::8],
    }
    return {k: v.numpy() for k, v in found.items()}


def da3_config(c: dict[str, Any]) -> DepthAnything3Config:
    """The configuration of a case, whose keys are the official constructor arguments."""
    net, head = c["net"], c["head"]
    dim, depth, heads = DINOV2_NAMES[net["name"]]
    dino = DinoConfig(
        dim=dim,
        depth=depth,
        heads=heads,
        out_layers=tuple(net["out_layers"]),
        **{k: net[k] for k in ("alt_start", "qknorm_start", "rope_start")},
    )
    dpt = DualDPTConfig(features=head["features"], out_channels=tuple(head["out_channels"]))
    return DepthAnything3Config(
        net=dino, head=dpt, cam_enc=CameraEncoderConfig() if c.get("cam_enc") else None
    )


def da3_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a Depth-Anything-3 case: as is, with the first view as reference, and with given poses."""
    c = case["config"]
    if c["net"]["name"] not in DINOV2_NAMES:
        raise unknown("net", c["net"]["name"], DINOV2_NAMES, where)
    model = build(DepthAnything3, lambda: da3_config(c), case["tensors"], where)
    size = case["input"]
    images = random_images(int(size.get("B", 1)), size["V"], 3, size["H"], size["W"])
    found = _da3_run(model, images)
    taps = found.pop("taps")
    found |= {f"feat{i}_sub": t[:, :, 1:][:, :, ::3, ::32] for i, t in enumerate(taps)}
    found["camtok3_sub"] = taps[-1][:, :, 0, ::8]
    if "first_depth" in arrays:
        model.config = model.config.model_copy(update={"reference": "first"})
        first = _da3_run(model, images)
        found |= {f"first_{k}": first[k] for k in ("depth", "extrinsics")}
    if "cond_in_extrinsics" in arrays:
        given = {
            k: torch.from_numpy(arrays[f"cond_in_{k}"]).float()
            for k in ("extrinsics", "intrinsics")
        }
        known = _da3_run(model, images, (given["extrinsics"], given["intrinsics"]))
        found |= {
            f"cond_{k}": known[k] for k in ("depth", "depth_conf", "extrinsics", "intrinsics")
        }
        found |= {f"cond_in_{k}": v for k, v in given.items()}
        tokens = model.model.cam_enc(
            given["extrinsics"], given["intrinsics"], (size["H"], size["W"])
        )
        found["cond_camtoken_sub"] = tokens[:, :, ::4].detach()
    return {k: v.numpy() for k, v in found.items()}


def _da3_run(
    model: DepthAnything3, images: Tensor, poses: tuple[Tensor, Tensor] | None = None
) -> dict[str, Any]:
    with torch.inference_mode():
        out, layout = model.run_trunk(images, poses=poses)
        r = model.run_heads(out, layout, images)
    taps = [out.taps[i] for i in model.model.head.taps]
    with torch.inference_mode():
        normed = [
            torch.cat([t[..., : model.width], model.trunk.norm(t[..., model.width :])], -1)
            for t in taps[:-1]
        ]
        last = taps[-1]
        patches = torch.cat(
            [last[..., : model.width], model.trunk.norm(last[..., model.width :])], -1
        )[:, :, 1:]
    return {
        "depth": r.depth,
        "depth_conf": r.depth_conf,
        "extrinsics": r.extrinsics,
        "intrinsics": r.intrinsics,
        "ray": r.extras["rays"],
        "ray_conf": r.extras["ray_conf"],
        "pose_enc": r.extras["pose_encodings"][0],
        "taps": [*normed, torch.cat([last[:, :, :1], patches], 2)],
    }


MODELS = {"vggt": vggt_outputs, "pi3": pi3_outputs, "da3": da3_outputs}
PAIRWISE = {
    "dust3r": "pair_outputs",
    "mast3r": "pair_outputs",
    "dust3r-global-aligner": "aligner_outputs",
}


def model_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a model's case. Raises Bench3RError for unknown models and cases that lack a key."""
    model = str(case.get("model"))
    if model not in (*MODELS, *PAIRWISE):
        raise unknown("model", model, [*MODELS, *PAIRWISE], where)
    try:
        if model in PAIRWISE:
            from bench3r.parity import pairwise

            return getattr(pairwise, PAIRWISE[model])(case, arrays, where)
        return MODELS[model](case, arrays, where)
    except KeyError as error:
        raise Bench3RError(f"{where}: the case lacks {error}") from error
