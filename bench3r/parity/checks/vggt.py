"""The whole network with its tracker: every output and inner activations."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from bench3r.models.vggt.config import VGGTConfig
from bench3r.models.vggt.network import VGGT
from bench3r.parity.golden import Check, Golden, Outputs
from bench3r.parity.weights import build_network, generator, random_images

PARTS = ("aggregator", "camera", "dpt", "track", "track_dpt")  # keys of the network's configuration


class Sizes(BaseModel):
    """B scenes of V images of H x W pixels."""

    B: int
    V: int
    H: int
    W: int


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    config = golden.case.config
    parts = {k: config[k] for k in PARTS if k in config}
    model = build_network(VGGT, lambda: VGGTConfig.model_validate(parts), golden)
    size = golden.read("config", Sizes)
    images = random_images(size.B, size.V, 3, size.H, size.W)
    count = golden.case.outputs.get("query_points", [size.B, 8, 2])[1]
    points = generator("query_points").random((size.B, count, 2)).astype(np.float32)
    queries = torch.from_numpy(points * np.array([size.W - 1, size.H - 1], np.float32))
    with torch.inference_mode():
        return _run(model, images, queries)


def _run(model: VGGT, images: Tensor, queries: Tensor) -> dict[str, Tensor | None]:
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
        "query_points": queries,
        "track": r.tracks,
        "track_all": torch.stack(r.extras["tracks"]),
        "vis": r.visibility,
        "conf": r.track_conf,
    }
    found |= {f"tokens_L{i}_sub": t[:, :, :8, ::16] for i, t in out.taps.items()}
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
)
