"""The whole network as is, with the first view as reference, and with given poses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, JsonValue
from torch import Tensor

from bench3r.api.errors import unknown
from bench3r.models.depth_anything_3.config import (
    DINOV2_NAMES,
    CameraEncoderConfig,
    DepthAnything3Config,
    DinoConfig,
    DualDPTConfig,
)
from bench3r.models.depth_anything_3.network import DepthAnything3
from bench3r.parity.golden import Check, Golden, Outputs
from bench3r.parity.weights import build_network, random_images


class Net(BaseModel):
    """The trunk, by the official constructor's arguments."""

    name: str
    out_layers: tuple[int, ...]
    alt_start: int
    qknorm_start: int
    rope_start: int


class Head(BaseModel):
    """The head, by the official constructor's arguments."""

    features: int
    out_channels: tuple[int, ...]


class Config(BaseModel):
    """Configuration of a case."""

    net: Net
    head: Head
    cam_enc: JsonValue = None  # whether poses can be given

    def network(self) -> DepthAnything3Config:
        """The network's own configuration."""
        dim, depth, heads = DINOV2_NAMES[self.net.name]
        trunk = DinoConfig(
            dim=dim,
            depth=depth,
            heads=heads,
            out_layers=self.net.out_layers,
            alt_start=self.net.alt_start,
            qknorm_start=self.net.qknorm_start,
            rope_start=self.net.rope_start,
        )
        head = DualDPTConfig(features=self.head.features, out_channels=self.head.out_channels)
        encoder = CameraEncoderConfig() if self.cam_enc else None
        return DepthAnything3Config(net=trunk, head=head, cam_enc=encoder)


class Sizes(BaseModel):
    """B scenes of V images of H x W pixels."""

    B: int = 1
    V: int
    H: int
    W: int


class Cameras(NamedTuple):
    """Given cameras."""

    extrinsics: Tensor  # [B, V, 4, 4]
    intrinsics: Tensor  # [B, V, 3, 3]


class Run(NamedTuple):
    """Outputs of the network by their names in the files, and the normalised taps [B, V, T, C]."""

    outputs: dict[str, Tensor]
    taps: list[Tensor]


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case. Raises Bench3RError for an unknown trunk."""
    c = golden.read("config", Config)
    if c.net.name not in DINOV2_NAMES:
        raise unknown("net", c.net.name, DINOV2_NAMES, str(golden.path))
    size = golden.read("input", Sizes)
    model = build_network(DepthAnything3, c.network, golden)
    images = random_images(size.B, size.V, 3, size.H, size.W)
    found, taps = run(model, images)
    for i, tap in enumerate(taps):
        found[f"feat{i}_sub"] = tap[:, :, 1:][:, :, ::3, ::32]
    found["camtok3_sub"] = taps[-1][:, :, 0, ::8]
    if "first_depth" in golden.arrays:
        model.config = model.config.model_copy(update={"reference": "first"})
        first = run(model, images).outputs
        found |= {f"first_{k}": first[k] for k in ("depth", "extrinsics")}
    if "cond_in_extrinsics" in golden.arrays:
        found |= conditioned(golden, model, images)
    return found


def run(model: DepthAnything3, images: Tensor, cameras: Cameras | None = None) -> Run:
    """The network on ``images`` [B, V, 3, H, W], with ``cameras`` where they are given."""
    with torch.inference_mode():
        out, layout = model.run_trunk(images, poses=cameras)
        r = model.run_heads(out, layout, images)
    found = {
        "depth": r.depth,
        "depth_conf": r.depth_conf,
        "extrinsics": r.extrinsics,
        "intrinsics": r.intrinsics,
        "ray": r.extras["rays"],
        "ray_conf": r.extras["ray_conf"],
        "pose_enc": r.extras["pose_encodings"][0],
    }
    taps = [out.taps[i] for i in model.model.head.taps]
    with torch.inference_mode():
        normed = [_normed(model, tap) for tap in taps]
        # the camera token of the last tap stays as it is
        normed[-1] = torch.cat([taps[-1][:, :, :1], normed[-1][:, :, 1:]], 2)
    return Run(found, normed)


def _normed(model: DepthAnything3, tap: Tensor) -> Tensor:
    """A tap [B, V, T, 2C] whose second half is normalised."""
    first, second = tap[..., : model.width], tap[..., model.width :]
    return torch.cat([first, model.trunk.norm(second)], -1)


def conditioned(golden: Golden, model: DepthAnything3, images: Tensor) -> dict[str, Tensor]:
    """What the network makes of ``images`` [B, V, 3, H, W] and the case's cameras."""
    given = {}
    for name in ("extrinsics", "intrinsics"):
        given[name] = torch.from_numpy(golden.arrays[f"cond_in_{name}"]).float()
    cameras = Cameras(**given)
    known = run(model, images, cameras).outputs
    height, width = images.shape[-2:]
    tokens = model.model.cam_enc(cameras.extrinsics, cameras.intrinsics, (height, width))
    found = {f"cond_{k}": known[k] for k in ("depth", "depth_conf", "extrinsics", "intrinsics")}
    found |= {f"cond_in_{k}": v for k, v in given.items()}
    found["cond_camtoken_sub"] = tokens[:, :, ::4].detach()
    return found


CHECK = Check(
    name="depth_anything_3",
    kind="model",
    golden=("da3",),
    outputs=outputs,
    needs=("outputs", "config", "tensors"),
)
