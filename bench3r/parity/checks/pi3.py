"""The whole network: points, poses, confidence and inner activations."""

from __future__ import annotations

import torch

from bench3r.api.errors import unknown
from bench3r.models.geometry import transform_points
from bench3r.models.pi3.config import EncoderConfig, HeadConfig, Pi3Config
from bench3r.models.pi3.network import Pi3
from bench3r.models.vggt.config import DINOV2_SIZES
from bench3r.parity.golden import Check, Golden, Outputs, Parameters
from bench3r.parity.weights import build_network, random_images

ENCODERS = {
    "vits": "dinov2_vits14_reg",
    "vitb": "dinov2_vitb14_reg",
    "vitl": "dinov2_vitl14_reg",
}


# decoders by their official names: width and heads
DECODERS = {"small": (384, 6), "base": (768, 12), "large": (1024, 16)}


class Config(Parameters):
    """Configuration of a case: B scenes of V images of H x W pixels.

    The decoder is as wide as its encoder.
    """

    B: int = 1
    V: int
    H: int
    W: int
    encoder: str = "vitl"
    decoder_size: str | None = None
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
    if c.decoder_size is not None and c.decoder_size not in DECODERS:
        raise unknown("decoder_size", c.decoder_size, DECODERS, str(golden.path))
    width, _, heads = DINOV2_SIZES[ENCODERS[c.encoder]]
    fitting = [name for name, size in DECODERS.items() if size == (width, heads)]
    golden.agree(c, decoder_size=fitting[0])
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
    reads=("config",),
)
