"""Point-map metrics as in the CUT3R family's evaluation (CUT3R, TTT3R, FastVGGT).

On 7-Scenes and NRGBD. No rotation is aligned: both clouds go to their first camera, the median
depth is taken off each, and medians of distances give the scale; then ICP. Only the central 224 x
224 pixels of the image that the model saw are scored; of images smaller than that a strip is left,
as in the released code. Not comparable with ``pi3_pointmap``.
"""

import numpy as np

from bench3r.metrics import window
from bench3r.metrics.alignment import icp, move
from bench3r.metrics.clouds import Cloud, CloudPair, accuracy_completeness, normal_consistency
from bench3r.protocols.base import CHAMFER, SURFACE, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene. Raises NotComputable when the window shows no true depth."""
    valid = scored.valid
    both = window.normalise(
        move(scored.predicted_w2c[0], scored.predicted_points),
        move(scored.true_w2c[0], scored.true_points),
    )
    in_window = window.in_window(valid.shape[1], valid.shape[2])
    seen = np.broadcast_to(in_window, valid.shape)[valid]
    if not seen.any():
        raise NotComputable("no pixel with true depth lies in the central window")
    own = both.predicted[seen]
    true = Cloud(both.true[seen], scored.workers)
    own = move(icp(own, true, scored.scene.icp_distance).transform, own)
    pair = CloudPair(Cloud(own, scored.workers), true)
    consistency = normal_consistency(pair)
    return {
        **accuracy_completeness(pair),
        "nc_mean": consistency["nc_mean"],
        "nc_median": consistency["nc_median"],
    }


PROTOCOL = Protocol(
    name="cut3r_pointmap",
    label="CUT3R's point maps",
    version=1,
    metrics=(CHAMFER, *SURFACE),
    score=score,
)
