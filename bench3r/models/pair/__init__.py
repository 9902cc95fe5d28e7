"""DUSt3R's and MASt3R's networks, which see two images at a time."""

from bench3r.models.catalogue import Network
from bench3r.models.pair.config import DUST3R_SCALES, MAST3R_SCALES

DUST3R = Network(
    name="dust3r",
    label="DUSt3R",
    package=__name__,
    scales=DUST3R_SCALES,
    loss_weights={"point": 1.0},
    starts_from=("vggt",),
    training_views=(2,),
)

MAST3R = Network(
    name="mast3r",
    label="MASt3R",
    package=__name__,
    scales=MAST3R_SCALES,
    loss_weights={"point": 1.0, "descriptor": 0.075},
    starts_from=("dust3r",),  # as published
    training_views=(2,),
)
