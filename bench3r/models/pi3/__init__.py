"""π³."""

from bench3r.models.catalogue import Network
from bench3r.models.pi3.config import PI3_SCALES

NETWORK = Network(
    name="pi3",
    label="π³",
    package=__name__,
    scales=PI3_SCALES,
    loss_weights={"point": 1.0, "normal": 1.0, "confidence": 0.05, "camera": 0.1},
    hooks=("schedule", "attention"),
    first_biases={"camera_head.fc_rot.bias": (1.0, 0, 0, 0, 1, 0, 0, 0, 1)},
    starts_from=("vggt",),
)
