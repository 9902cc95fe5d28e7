"""VGGT."""

from bench3r.models.catalogue import Network
from bench3r.models.vggt.config import VGGT_SCALES

NETWORK = Network(
    name="vggt",
    label="VGGT",
    package=__name__,
    scales=VGGT_SCALES,
    loss_weights={"camera": 5.0, "depth": 1.0, "point": 1.0, "track": 0.05},
    hooks=("schedule", "attention"),
    reference=True,
    # four refinement steps are added up
    first_biases={"camera_head.pose_branch.fc2.bias": (0.0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25)},
)
