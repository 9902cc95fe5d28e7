"""Networks for pairs of images: points, confidence, descriptors and matches, activations."""

from __future__ import annotations

import re
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.models.pair.config import PairConfig
from bench3r.models.pair.network import PairNetwork
from bench3r.pairwise.matching import reciprocal_matches
from bench3r.parity.golden import Check, Golden, Outputs, Parameters
from bench3r.parity.weights import build_network, random_images

Head = Literal["dpt", "linear"]
HEADS: dict[str, Head] = {"dpt": "dpt", "linear": "linear", "catmlp+dpt": "dpt"}
# arguments that all cases share, as the files write them, and the values that are computed
SHARED: dict[str, str] = {
    "pos_embed": r"'RoPE\d+'",
    "depth_mode": r"\('exp',-inf,inf\)",
    "conf_mode": r"\('exp',1,inf\)",
    "landscape_only": "False",
    "patch_embed_cls": "'PatchEmbedDust3R'|'ManyAR_PatchEmbed'",
    "patch_size": r"\d+",
    "mlp_ratio": r"\d+(\.\d+)?",
}


def shared_arguments(text: str) -> dict[str, str]:
    """Names and values of the arguments in ``text``, written as in Python.

    Raises ValueError for a name that is unknown or a value that is not computed.
    """
    found = {}
    for name, value in re.findall(r"(\w+)=('[^']*'|\([^)]*\)|[^,\s]+)", text):
        value = value.replace(" ", "")
        if name not in SHARED:
            raise ValueError(f"unknown argument {name!r}; known: {', '.join(SHARED)}")
        if not re.fullmatch(SHARED[name], value):
            raise ValueError(f"{name} {value} is unknown: expected {SHARED[name]}")
        found[name] = value
    return found


class Config(Parameters):
    """Configuration of a case, whose keys are the official constructor's arguments."""

    img_size: tuple[int, int] | None = None  # of the training images
    enc_embed_dim: int
    enc_depth: int
    enc_num_heads: int
    dec_embed_dim: int
    dec_depth: int
    dec_num_heads: int
    head_type: str
    # "+desc24" behind it: with descriptors of 24 channels
    output_mode: str = Field("pts3d", pattern=r"^pts3d(\+desc\d+)?$")
    two_confs: bool = False
    patch_size: int | None = None
    common: str = ""

    @property
    def descriptors(self) -> int:
        """Channels of the descriptors; 0: there are none."""
        return int(self.output_mode.partition("+desc")[2] or 0)

    @model_validator(mode="after")
    def _computed(self) -> Config:
        shared_arguments(self.common)
        if self.two_confs != (self.descriptors > 0):
            raise ValueError("two_confs must be true with descriptors, and false without")
        return self

    def network(self) -> PairConfig:
        """The network's own configuration."""
        shared = shared_arguments(self.common)
        patch = int(shared.get("patch_size", 16)) if self.patch_size is None else self.patch_size
        return PairConfig(
            enc_embed_dim=self.enc_embed_dim,
            enc_depth=self.enc_depth,
            enc_num_heads=self.enc_num_heads,
            dec_embed_dim=self.dec_embed_dim,
            dec_depth=self.dec_depth,
            dec_num_heads=self.dec_num_heads,
            head=HEADS[self.head_type],
            descriptors=self.descriptors,
            patch_size=patch,
            mlp_ratio=float(shared.get("mlp_ratio", 4)),
            rope_freq=float(shared.get("pos_embed", "'RoPE100'").strip("'RoPE")),
        )


class Sizes(Parameters):
    """V images of H x W pixels."""

    V: int
    H: int
    W: int


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case. Raises Bench3RError for an unknown head."""
    c = golden.read("config", Config)
    if c.head_type not in HEADS:
        raise Bench3RError(
            f"{golden.path}: config.head_type {c.head_type!r} is unknown: "
            f"expected one of {', '.join(HEADS)}"
        )
    model: PairNetwork = build_network(PairNetwork, c.network, golden)
    size = golden.read("input", Sizes)
    images = random_images(1, size.V, 3, size.H, size.W)[0]
    pairs = golden.case.pairs
    with torch.inference_mode():
        tokens = model.encode(images)
        first = tokens[[i for i, _ in pairs]]
        second = tokens[[j for _, j in pairs]]
        shape = (size.H, size.W)
        decoded1, decoded2 = model.run_decoders(first, second, (shape, shape))
        found = [p.tensors() for p in model(images, pairs)]
    out = {k: torch.stack([f[k] for f in found]) for k in found[0]}
    named = {
        "pred1_pts3d": out["points1"],
        "pred2_pts3d_in_other_view": out["points2"],
        "pred1_conf": out["conf1"],
        "pred2_conf": out["conf2"],
        "enc1_sub": first[:, :, ::4],
        "dec1_last_sub": decoded1[-1][:, :, ::4],
        "dec2_last_sub": decoded2[-1][:, :, ::4],
        "dec1_mid_sub": decoded1[len(decoded1) // 2][:, :, ::4],
    }
    return named | matched(out) if "desc1" in out else named


def matched(out: dict[str, Tensor]) -> dict[str, Tensor]:
    """Descriptors [E, H, W, D], their confidence, and the matches [M, 2] of the first pair."""
    named = {}
    for side in (1, 2):
        named[f"pred{side}_desc"] = out[f"desc{side}"][:, ::2, ::2]
        named[f"pred{side}_desc_conf"] = out[f"desc_conf{side}"]
    for metric in ("dot", "l2"):
        xy1, xy2 = reciprocal_matches(out["desc1"][0], out["desc2"][0], step=8, metric=metric)
        named |= {f"recnn_{metric}_xy1": xy1, f"recnn_{metric}_xy2": xy2}
    return named


CHECK = Check(
    name="pair_network",
    kind="model",
    golden=("dust3r", "mast3r"),
    outputs=outputs,
    needs=("outputs", "config", "tensors"),
    reads=("config", "input"),
)
