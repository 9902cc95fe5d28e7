"""Depth-Anything-3."""

from bench3r.models.catalogue import Network
from bench3r.models.depth_anything_3.config import DA3_SCALES

NETWORK = Network(
    name="depth_anything_3",
    label="Depth-Anything-3",
    package=__name__,
    scales=DA3_SCALES,
    loss_weights={"depth": 1.0, "ray": 1.0, "point": 1.0, "camera": 1.0},
    hooks=("schedule", "attention"),
    first_biases={"cam_dec.fc_qvec.bias": (0.0, 0, 0, 1), "cam_dec.fc_fov.0.bias": (1.0, 1)},
    keeps_default_weights=(".cam_dec.",),  # its signal would be lost on the way
    starts_from=("vggt",),
)
