"""Depth after one median scale per scene: our stated definition, the official modes differ.

``mse`` is in units squared; ``mse_norm`` with both depths divided by the true median, which is what
tables show as depth MSE. Valid pixels are those with true depth.
"""

from bench3r.metrics.depth import depth_errors, depth_mse, median_ratio
from bench3r.protocols.base import COUNTED, Metric, Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    predicted = scored.predicted_depth
    true = scored.true_depth
    errors = depth_errors(predicted * median_ratio(predicted, true), true)
    return {
        "absrel": errors["absrel"],
        "delta1": errors["delta1"],
        "rmse": errors["rmse"],
        **depth_mse(predicted, true),
    }


PROTOCOL = Protocol(
    name="depth_median",
    label="depth by median scale",
    version=1,
    metrics=(
        Metric("absrel", "ratio", "lower", "AbsRel"),
        Metric("delta1", "share", "higher", "δ<1.25", noise=COUNTED),
        Metric("rmse", "unit", "lower", "RMSE"),
        Metric("mse", "unit^2", "lower", "dMSE"),
        Metric("mse_norm", "median depths^2", "lower", "dMSE"),
    ),
    score=score,
)
