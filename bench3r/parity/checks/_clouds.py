"""What several scoring rules of point clouds share."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import clouds
from bench3r.metrics.alignment import icp, move
from bench3r.parity.golden import Value


def prefixed(prefix: str, values: dict[str, Value] | dict[str, float]) -> dict[str, Value]:
    """``values`` (of any shapes) with ``prefix`` before their names."""
    return {f"{prefix}{name}": value for name, value in values.items()}


def distances(pair: clouds.CloudPair) -> dict[str, float]:
    """Accuracy and completeness of two clouds."""
    found = clouds.accuracy_completeness(pair)
    del found["chamfer"]
    return found


def refined(predicted: np.ndarray, official: np.ndarray, reach: float) -> dict[str, Value]:
    """ICP of clouds [N, 3] and [M, 3] within ``reach``, and the distances and normals after it."""
    target = clouds.Cloud(official)
    found = icp(predicted, target, reach)
    pair = clouds.CloudPair(clouds.Cloud(move(found.transform, predicted)), target)
    return {
        "icp_T": found.transform,
        "icp_fitness": found.fitness,
        "icp_inlier_rmse": found.inlier_rmse,
        "icp_num_corr": found.correspondences,
        **distances(pair),
        **clouds.normal_consistency(pair),
    }
