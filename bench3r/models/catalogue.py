"""The networks that there are: a folder of ``bench3r/models/`` declares one or several.

It does so without importing torch. Its ``__init__.py`` holds the :class:`Network` objects; beside
it lie

- ``config.py``: its sizes at every scale, without torch;
- ``network.py``: ``build(config)``, a :class:`~bench3r.models.trainable.TrainableNetwork`;
- ``macs.py``: ``cost(config, frames, size)``, its MACs in closed form;
- ``losses.py``: ``build_loss(model, weights)``, a :class:`~bench3r.models.trainable.Loss`;
- ``start.py``, where training can start from another network's weights: for each of them a function
  ``from_NAME(model, state)`` that gives its tensors under this network's names, and perhaps
  ``adapt(model, images)``, called with example images once they are loaded.

Nothing outside the folder names the network.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from bench3r.api.cost import BackboneCost
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.registry import LIBRARY, Registry, instance_of

NO_BACKBONE = "none"  # of controls, and of whole models without weights


class Sizes(Protocol):
    """What every configuration of a network tells, besides what its own folder needs."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of a typical input."""

    @property
    def patch_size(self) -> int:
        """Pixels per patch side."""

    @property
    def pairs(self) -> int:
        """Frame/global pairs of its trunk, or blocks of its decoder."""


@dataclass(frozen=True)
class Network:
    """A backbone (it has hooks) or the network of a whole model (it has none)."""

    name: str
    label: str  # as printed in tables
    package: str  # the folder's ``__name__``
    scales: Mapping[str, Callable[[], Sizes]]  # name of the scale -> its configuration
    loss_weights: Mapping[str, float]  # as published, by part of the loss
    hooks: tuple[str, ...] = ()  # what a method may change: "schedule", "attention"
    # before training from scratch: biases by the end of their name ...
    first_biases: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    # ... and parts of names of linear layers that keep torch's own, larger weights
    keeps_default_weights: tuple[str, ...] = ()
    starts_from: tuple[str, ...] = ()  # networks whose weights its training can start from
    training_views: tuple[int, ...] = ()  # views of a training scene; (): as many as are asked
    reference: bool = False  # whether whole models and controls are compared with it

    @property
    def is_backbone(self) -> bool:
        """Whether methods can be plugged into it."""
        return bool(self.hooks)

    def config(self, scale: str) -> Sizes:
        """Its configuration at ``scale``. Raises Unsupported for a scale that it does not have."""
        if scale not in self.scales:
            known = ", ".join(self.scales)
            message = f"{self.name} has no configuration for scale {scale!r} (it has {known})"
            raise Unsupported(message)
        return self.scales[scale]()

    def part(self, module: str) -> Any:
        """The module of its folder called ``module``: "network", "macs", "losses", "start"."""
        return importlib.import_module(f"{self.package}.{module}")


NETWORKS: Registry[Network] = Registry(
    "backbone",
    LIBRARY / "models",
    "bench3r.models",
    instance_of(Network),
    pattern="*/__init__.py",
    several=True,
)


def backbones() -> dict[str, Network]:
    """The networks that methods can be plugged into, by name."""
    return {name: network for name, network in NETWORKS.all().items() if network.is_backbone}


@cache
def reference_backbone() -> str:
    """The backbone that whole models and controls are compared with, as they are in the papers."""
    return next(name for name, network in NETWORKS.all().items() if network.reference)


def reference_of(network: str) -> str:
    """The backbone that what runs on ``network`` is compared with: itself, or the one for all."""
    return network if network in backbones() else reference_backbone()


def scale_config(backbone: str, scale: str) -> Sizes:
    """The configuration of the network ``backbone`` at ``scale``.

    Raises Bench3RError or Unsupported for names without one.
    """
    return NETWORKS.get(backbone).config(scale)


def input_size(backbone: str, scale: str) -> tuple[int, int, int]:
    """Typical image height, image width and patch size of ``backbone`` at ``scale``, in pixels."""
    config = scale_config(backbone, scale)
    height, width = config.image_size
    return height, width, config.patch_size


def trunk_pairs(backbone: str, scale: str) -> int:
    """Frame/global pairs in the trunk of ``backbone`` at ``scale``."""
    return scale_config(backbone, scale).pairs


def label_of_network(name: str) -> str:
    """How the network ``name`` is called in tables; the name itself where there is none."""
    known = NETWORKS.all()
    return known[name].label if name in known else name


def unchanged_cost(
    backbone: str, scale: str, frames: int, size: tuple[int, int] | None = None
) -> BackboneCost:
    """The unchanged network ``backbone`` at ``scale`` in numbers.

    ``size`` (H, W) None: the scale's usual image. Raises Bench3RError for less than one frame and
    for names without a configuration.
    """
    if frames < 1:
        raise Bench3RError(f"frames must be at least 1, got {frames}")
    config = scale_config(backbone, scale)
    height, width = config.image_size
    macs = NETWORKS.get(backbone).part("macs")
    found: BackboneCost = macs.cost(config, frames, size or (height, width))
    return found
