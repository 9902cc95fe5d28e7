"""Parity of DUSt3R and MASt3R: networks, matching and global alignment as golden files describe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.models.pair.config import PairConfig
from bench3r.models.pair.network import PairNetwork, PairOutput
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.matching import reciprocal_matches
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.spanning import initialise
from bench3r.parity.models import build, random_images

HEADS = {"dpt": "dpt", "linear": "linear", "catmlp+dpt": "dpt"}


def pair_config(c: dict[str, Any], where: str) -> PairConfig:
    """The configuration of a case, whose keys are the official constructor arguments."""
    if c["head_type"] not in HEADS:
        raise Bench3RError(
            f"{where}: config.head_type {c['head_type']!r} is unknown: expected one of {', '.join(HEADS)}"
        )
    sizes = {
        f"{side}_{k}": c[f"{side}_{k}"]
        for side in ("enc", "dec")
        for k in ("embed_dim", "depth", "num_heads")
    }
    mode = c.get("output_mode", "pts3d")
    descriptors = int(mode.partition("+desc")[2] or 0)
    return PairConfig(
        **sizes,
        head=HEADS[c["head_type"]],
        descriptors=descriptors,
        patch_size=c.get("patch_size", 16),
    )


def pair_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a network's case."""
    model: PairNetwork = build(
        PairNetwork, lambda: pair_config(case["config"], where), case["tensors"], where
    )
    v, h, w = (int(case["input"][k]) for k in "VHW")
    images = random_images(1, v, 3, h, w)[0]
    pairs = [(int(i), int(j)) for i, j in case["pairs"]]
    with torch.inference_mode():
        tokens = model.encode(images)
        first, second = (tokens[[p[side] for p in pairs]] for side in (0, 1))
        outputs1, outputs2 = model.run_decoders(first, second, ((h, w), (h, w)))
        found = [p.tensors() for p in model(images, pairs)]
    out = {k: torch.stack([f[k] for f in found]) for k in found[0]}
    named: dict[str, Tensor] = {
        "pred1_pts3d": out["points1"],
        "pred2_pts3d_in_other_view": out["points2"],
        "pred1_conf": out["conf1"],
        "pred2_conf": out["conf2"],
        "enc1_sub": first[:, :, ::4],
        "dec1_last_sub": outputs1[-1][:, :, ::4],
        "dec2_last_sub": outputs2[-1][:, :, ::4],
        "dec1_mid_sub": outputs1[len(outputs1) // 2][:, :, ::4],
    }
    if "desc1" in out:
        named |= {f"pred{n}_desc": out[f"desc{n}"][:, ::2, ::2] for n in (1, 2)}
        named |= {f"pred{n}_desc_conf": out[f"desc_conf{n}"] for n in (1, 2)}
        for metric in ("dot", "l2"):
            xy1, xy2 = reciprocal_matches(out["desc1"][0], out["desc2"][0], step=8, metric=metric)
            named |= {f"recnn_{metric}_xy1": xy1, f"recnn_{metric}_xy2": xy2}
    return {k: t.numpy() for k, t in named.items()}


def aligner_outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """All arrays of a global alignment: after initialisation, then after 300 iterations."""
    given = {
        f"{field}{n}": torch.from_numpy(arrays[f"pred{n}_{k}"]).float()
        for n in (1, 2)
        for k, field in (("pts3d", "points"), ("conf", "conf"))
    }
    edges = [(int(i), int(j)) for i, j in case["edges"]]
    pairs = [PairOutput.of({k: v[e] for k, v in given.items()}) for e in range(len(edges))]
    predictions = PairPredictions.of(edges, pairs)
    options = AlignmentOptions(iterations=int(case.get("iterations", 300)))
    start = initialise(predictions, options.min_confidence)
    with torch.no_grad():
        loss = float(Problem(start, predictions).loss())
    final = align(predictions, options)
    found = {
        "init_loss": torch.tensor([loss]),
        "init_pw_poses": start.edge_poses(),
        "final_loss": torch.tensor([final.loss]),
    }
    for prefix, poses, focals, depth in (
        ("init", start.poses(), start.focals(), start.depths()),
        ("final", final.poses, final.focals, final.depths),
    ):
        found |= {
            f"{prefix}_poses": poses,
            f"{prefix}_focals": focals[:, None],
            f"{prefix}_depth": torch.stack(list(depth)),
        }
    return {k: t.detach().numpy() for k, t in found.items()} | {
        k: v for k, v in arrays.items() if k.startswith(("pred", "true"))
    }
