"""Global alignment of stored predictions for pairs: start along the spanning tree, and end."""

from __future__ import annotations

import torch
from torch import Tensor

from bench3r.models.pair.network import PairOutput
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.spanning import initialise
from bench3r.parity.golden import Check, Golden, Outputs


def predictions_of(golden: Golden) -> PairPredictions:
    """The predictions for pairs that the file holds."""
    arrays = golden.predictions()
    given: dict[str, Tensor] = {}
    for side in (1, 2):
        for name, field in (("pts3d", "points"), ("conf", "conf")):
            value = arrays[f"pred{side}_{name}"]
            given[f"{field}{side}"] = torch.from_numpy(value).float()
    edges = golden.case.edges
    pairs = [PairOutput.of({k: v[e] for k, v in given.items()}) for e in range(len(edges))]
    return PairPredictions.of(edges, pairs)


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    predictions = predictions_of(golden)
    options = AlignmentOptions(iterations=golden.case.iterations)
    start = initialise(predictions, options.min_confidence)
    with torch.no_grad():
        loss = float(Problem(start, predictions).loss())
    end = align(predictions, options)
    found: dict[str, Tensor] = {
        "init_loss": torch.tensor([loss]),
        "init_pw_poses": start.edge_poses(),
        "init_poses": start.poses(),
        "init_focals": start.focals()[:, None],
        "init_depth": torch.stack(start.depths()),
        "final_loss": torch.tensor([end.loss]),
        "final_poses": end.poses,
        "final_focals": end.focals[:, None],
        "final_depth": torch.stack(end.depths),
    }
    given = {k: v for k, v in golden.arrays.items() if k.startswith(("pred", "true"))}
    return {**given, **found}


CHECK = Check(
    name="global_alignment",
    kind="model",
    golden=("dust3r-global-aligner",),
    outputs=outputs,
    needs=("outputs", "edges"),
)
