"""The whole network with its tracker: every output and inner activations."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from bench3r.models.vggt.config import VGGTConfig
from bench3r.models.vggt.network import VGGT
from bench3r.parity.golden import Check, Golden, Outputs, Parameters
from bench3r.parity.weights import build_network, generator, random_images


class Wrapper(Parameters):
    """The official constructor's own arguments, which the parts repeat."""

    img_size: int | None = None
    patch_size: int | None = None
    embed_dim: int | None = None


class Config(Parameters):
    """Configuration of a case: B scenes of V images of H x W pixels, and the network's parts.

    A part's keys are those of the network's own configuration.
    """

    B: int = 1
    V: int
    H: int
    W: int
    vggt: Wrapper = Wrapper()
    aggregator: dict[str, JsonValue] = {}
    camera: dict[str, JsonValue] = {}
    dpt: dict[str, JsonValue] = {}
    track: dict[str, JsonValue] | None = {}  # null: there is no tracker
    track_dpt: dict[str, JsonValue] = {}

    def parts(self) -> dict[str, JsonValue]:
        """The parts; null says no rotary position and no norm of queries and keys."""
        found = self.model_dump(exclude={"B", "V", "H", "W", "vggt"})
        for name, absent in (("rope_freq", 0.0), ("qk_norm", False)):
            if name in self.aggregator and self.aggregator[name] is None:
                found["aggregator"][name] = absent
        return found


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    size = golden.read("config", Config)
    config = golden.validate(VGGTConfig, size.parts(), "config")
    trunk = config.aggregator
    golden.agree(
        size.vggt,
        img_size=trunk.img_size,
        patch_size=trunk.patch_size,
        embed_dim=trunk.embed_dim,
    )
    model = build_network(VGGT, lambda: config, golden)
    images = random_images(size.B, size.V, 3, size.H, size.W)
    if config.track is None:
        with torch.inference_mode():
            return _run(model, images, None)
    count = golden.case.outputs.get("query_points", [size.B, 8, 2])[1]
    points = generator("query_points").random((size.B, count, 2)).astype(np.float32)
    queries = torch.from_numpy(points * np.array([size.W - 1, size.H - 1], np.float32))
    with torch.inference_mode():
        return _run(model, images, queries)


def _run(model: VGGT, images: Tensor, queries: Tensor | None) -> dict[str, Tensor | None]:
    out, layout = model.run_trunk(images, keep_all=True)
    r = model.run_heads(out, layout, images, queries)
    found: dict[str, Tensor | None] = {
        "pose_enc": r.extras["pose_encodings"][-1],
        "pose_enc_all": torch.stack(r.extras["pose_encodings"]),
        "depth": r.depth[..., None],
        "depth_conf": r.depth_conf,
        "world_points": r.world_points,
        "world_points_conf": r.world_points_conf,
        "extrinsic": r.extrinsics,
    }
    found |= {f"tokens_L{i}_sub": t[:, :, :8, ::16] for i, t in out.taps.items()}
    if queries is None:
        return found
    found |= {
        "query_points": queries,
        "track": r.tracks,
        "track_all": torch.stack(r.extras["tracks"]),
        "vis": r.visibility,
        "conf": r.track_conf,
    }
    grid = (layout.height, layout.width)
    extractor = model.track_head.feature_extractor
    (features,) = extractor(out.taps, layout.special, grid, model.chunk(images))
    tracks, visibility, confidence = model.track_head.tracker(queries, features, 1)
    found["track_fmap_sub"] = features[:, :, ::8, ::3, ::3]
    found |= {"track_iter1": tracks[0], "vis_iter1": visibility, "conf_iter1": confidence}
    return found


CHECK = Check(
    name="vggt",
    kind="model",
    golden=("vggt",),
    outputs=outputs,
    needs=("outputs", "config", "tensors"),
    reads=("config",),
)
