"""Global alignment of stored predictions for pairs: start along the spanning tree, and end."""

from __future__ import annotations

import torch
from torch import Tensor

from bench3r.api.errors import Bench3RError, unknown
from bench3r.models.pair.network import PairOutput
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.disagreement import Problem
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.spanning import initialise
from bench3r.parity.golden import Check, Golden, Outputs

SIZES = ("V", "H", "W")
# keys of a file that say nothing of how it is computed
DESCRIBING = (*SIZES, "noise", "notes", "source", "output_stats", "torch", "total_params")


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
    """All arrays of a case, whose parameters stand beside the edges.

    Raises Bench3RError for a parameter of the official optimiser that is none of them.
    """
    given = golden.case.model_extra or {}
    other = [name for name in given if name not in DESCRIBING]
    if other:
        raise unknown("parameter", other[0], ["edges", "iterations", *SIZES], str(golden.path))
    predictions = predictions_of(golden)
    height, width = predictions.sizes[0]
    found_sizes = (len(predictions.sizes), height, width)
    for name, value in zip(SIZES, found_sizes, strict=True):
        if given.get(name, value) != value:
            raise Bench3RError(f"{golden.path}: {name} is {given[name]}, the arrays have {value}")
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
