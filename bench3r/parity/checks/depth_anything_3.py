"""The whole network as is, with the first view as reference, and with given poses."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from pydantic import Field, JsonValue
from torch import Tensor

from bench3r.api.errors import unknown
from bench3r.models.depth_anything_3.config import (
    DINOV2_NAMES,
    CameraEncoderConfig,
    DepthAnything3Config,
    DinoConfig,
    DualDPTConfig,
    ReferenceStrategy,
)
from bench3r.models.depth_anything_3.network import DepthAnything3
from bench3r.parity.golden import Check, Golden, Outputs, Parameters
from bench3r.parity.weights import build_network, random_images


class Part(Parameters):
    """A part of the configuration, which may name the official class that it is made with."""

    made_with: dict[str, JsonValue] | None = Field(None, alias="__object__")


class Net(Part):
    """The trunk, by the official constructor's arguments."""

    name: str
    out_layers: tuple[int, ...]
    alt_start: int
    qknorm_start: int = -1  # -1: no norm of queries and keys
    rope_start: int = -1  # -1: no rotary position
    cat_token: Literal[True] = True


class Head(Part):
    """The head, by the official constructor's arguments."""

    dim_in: int | None = None
    output_dim: Literal[2] = 2
    features: int
    out_channels: tuple[int, ...]


class PoseEncoder(Part):
    """The encoder of given poses, by the official constructor's arguments."""

    dim_out: int | None = None
    trunk_depth: int = 4
    num_heads: int = 16


class PoseDecoder(Part):
    """The decoder of poses, by the official constructor's arguments."""

    dim_in: int | None = None


class Config(Part):
    """Configuration of a case."""

    net: Net
    head: Head
    cam_enc: PoseEncoder | None = None  # null: no poses can be given
    cam_dec: PoseDecoder = PoseDecoder()
    gs_head: None = None  # the heads of Gaussians are not computed
    gs_adapter: None = None

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
        encoder = None
        if self.cam_enc is not None:
            encoder = CameraEncoderConfig(
                depth=self.cam_enc.trunk_depth, heads=self.cam_enc.num_heads
            )
        return DepthAnything3Config(net=trunk, head=head, cam_enc=encoder)


class Sizes(Parameters):
    """B scenes of V images of H x W pixels."""

    B: int = 1
    V: int
    H: int
    W: int
    ref_view_strategy: ReferenceStrategy = "saddle_balanced"


def overridden(config: JsonValue, overrides: JsonValue) -> JsonValue:
    """``config`` with the entries of ``overrides`` in their places; a dotted name goes deeper."""
    if not (isinstance(config, dict) and isinstance(overrides, dict)):
        return overrides
    found = dict(config)
    for name, value in overrides.items():
        first, _, rest = name.partition(".")
        found[first] = overridden(found.get(first, {}), {rest: value} if rest else value)
    return found


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
    raw = overridden(golden.case.config, golden.case.overrides)
    c = golden.validate(Config, raw, "config")
    if c.net.name not in DINOV2_NAMES:
        raise unknown("net", c.net.name, DINOV2_NAMES, str(golden.path))
    width = DINOV2_NAMES[c.net.name][0]
    golden.agree(c.head, dim_in=2 * width)
    golden.agree(c.cam_dec, dim_in=2 * width)
    if c.cam_enc is not None:
        golden.agree(c.cam_enc, dim_out=width)
    size = golden.read("input", Sizes)
    model = build_network(DepthAnything3, c.network, golden)
    choose(model, size.ref_view_strategy)
    images = random_images(size.B, size.V, 3, size.H, size.W)
    found, taps = run(model, images)
    for i, tap in enumerate(taps):
        found[f"feat{i}_sub"] = tap[:, :, 1:][:, :, ::3, ::32]
    found["camtok3_sub"] = taps[-1][:, :, 0, ::8]
    for strategy in get_args(ReferenceStrategy):
        if f"{strategy}_depth" in golden.arrays:
            choose(model, strategy)
            other = run(model, images).outputs
            found |= {f"{strategy}_{k}": v for k, v in other.items()}
    if "cond_in_extrinsics" in golden.arrays:
        found |= conditioned(golden, model, images)
    return found


def choose(model: DepthAnything3, strategy: ReferenceStrategy) -> None:
    """Let ``model`` choose the reference of three or more views by ``strategy``."""
    model.config = model.config.model_copy(update={"reference": strategy})


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
    reads=("config", "input", "overrides"),
)
