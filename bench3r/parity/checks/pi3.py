"""The whole network: points, poses, confidence and inner activations."""

from __future__ import annotations

import torch
from pydantic import BaseModel

from bench3r.api.errors import unknown
from bench3r.models.geometry import transform_points
from bench3r.models.pi3.config import EncoderConfig, HeadConfig, Pi3Config
from bench3r.models.pi3.network import Pi3
from bench3r.models.vggt.config import DINOV2_SIZES
from bench3r.parity.golden import Check, Golden, Outputs
from bench3r.parity.weights import build_network, random_images

ENCODERS = {
    "vits": "dinov2_vits14_reg",
    "vitb": "dinov2_vitb14_reg",
    "vitl": "dinov2_vitl14_reg",
}


class Config(BaseModel):
    """Configuration of a case: B scenes of V images of H x W pixels.

    The decoder is as wide as its encoder.
    """

    B: int = 1
    V: int
    H: int
    W: int
    encoder: str = "vitl"
    dec_depth: int
    head_dim: int
    head_heads: int
    head_depth: int
    head_out: int
    cam_dim: int

    def network(self) -> Pi3Config:
        """The network's own configuration."""
        dim, depth, heads = DINOV2_SIZES[ENCODERS[self.encoder]]
        head = HeadConfig(dim=self.head_dim, heads=self.head_heads, depth=self.head_depth)
        return Pi3Config(
            encoder=EncoderConfig(dim=dim, depth=depth, heads=heads),
            depth=self.dec_depth,
            heads=heads,
            head=head,
            head_out=self.head_out,
            camera_dim=self.cam_dim,
        )


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case. Raises Bench3RError for an unknown encoder."""
    c = golden.read("config", Config)
    if c.encoder not in ENCODERS:
        raise unknown("encoder", c.encoder, ENCODERS, str(golden.path))
    model = build_network(Pi3, c.network, golden)
    images = random_images(c.B, c.V, 3, c.H, c.W)
    with torch.inference_mode():
        out, layout = model.run_trunk(images)
        raw = model.run_heads(out, layout, images).extras
        tokens = out.taps[model.taps[-1]].flatten(0, 1)
        camera = model.camera_decoder(tokens, layout)
        encoded = model.encoder((images.flatten(0, 1) - model.image_mean) / model.image_std)
    poses = raw["camera_poses"]
    local = raw["local_points"]
    return {
        "points": transform_points(poses, local),
        "local_points": local,
        "camera_poses": poses,
        "conf": raw["conf_logits"][..., None],
        "enc_sub": encoded[:, :, ::16],
        "dec_sub": tokens[:, :, ::32],
        "cam_dec_sub": camera[:, :, ::8],
    }


CHECK = Check(
    name="pi3",
    kind="model",
    golden=("pi3",),
    outputs=outputs,
    needs=("outputs", "config", "tensors"),
)
