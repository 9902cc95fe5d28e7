"""The folder of a backbone that Bench3R does not know, for tests that plant it.

It is read as ``bench3r.models.planted``, which is why its files import each other under that name.
"""

from bench3r.models.planted.config import SCALES

from bench3r.models.catalogue import Network

NETWORK = Network(
    name="planted",
    label="Planted",
    package=__name__,
    scales=SCALES,
    loss_weights={"camera": 2.0, "depth": 1.0},
    hooks=("schedule", "attention"),
    first_biases={"camera_head.bias": (0.0, 0, 0, 0, 0, 0, 1, 1, 1)},
    starts_from=("vggt",),
)
