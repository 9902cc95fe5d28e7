"""The networks that there are: one folder below ``bench3r/models/`` declares one or several, without importing torch.

A folder holds ``config.py`` (sizes), ``network.py`` (``build``), ``macs.py`` (``cost``), ``losses.py`` and, where its
training can start from another network's weights, ``start.py``; its ``__init__.py`` holds the :class:`Network` objects.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench3r.api.cost import BackboneCost
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.registry import LIBRARY, Registry, instance_of

NO_BACKBONE = "none"  # of controls, and of whole models without weights


@dataclass(frozen=True)
class Network:
    """A backbone (it has hooks) or the network of a whole model (it has none)."""

    name: str
    label: str  # as printed in tables
    package: str  # the folder's ``__name__``
    scales: Mapping[str, Callable[[], Any]]  # name of the scale -> its configuration
    loss_weights: Mapping[str, float]  # as published, by part of the loss
    hooks: tuple[str, ...] = ()  # what a method may change: "schedule", "attention"
    first_biases: Mapping[str, tuple[float, ...]] = field(
        default_factory=dict
    )  # ends of names -> values before training
    starts_from: tuple[str, ...] = ()  # networks whose weights its training can start from

    @property
    def is_backbone(self) -> bool:
        """Whether methods can be plugged into it."""
        return bool(self.hooks)

    def config(self, scale: str) -> Any:
        """Its configuration at ``scale``. Raises Unsupported for a scale that it does not have."""
        if scale not in self.scales:
            known = ", ".join(self.scales)
            raise Unsupported(
                f"{self.name} has no configuration for scale {scale!r} (it has {known})"
            )
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


def scale_config(backbone: str, scale: str) -> Any:
    """The configuration of the network ``backbone`` at ``scale``.

    Raises Bench3RError or Unsupported for names without one.
    """
    return NETWORKS.get(backbone).config(scale)


def input_size(backbone: str, scale: str) -> tuple[int, int, int]:
    """Typical image height, image width and patch size of ``backbone`` at ``scale``, in pixels."""
    config = scale_config(backbone, scale)
    return (*config.image_size, config.patch_size)


def trunk_pairs(backbone: str, scale: str) -> int:
    """Frame/global pairs in the trunk of ``backbone`` at ``scale``."""
    return int(scale_config(backbone, scale).pairs)


def label_of_network(name: str) -> str:
    """How the network ``name`` is called in tables; the name itself where there is none."""
    known = NETWORKS.all()
    return known[name].label if name in known else name


def unchanged_cost(
    backbone: str, scale: str, frames: int, size: tuple[int, int] | None = None
) -> BackboneCost:
    """The unchanged network ``backbone`` at ``scale`` in numbers; ``size`` (H, W) None: the scale's usual image.

    Raises Bench3RError for less than one frame and for names without a configuration.
    """
    if frames < 1:
        raise Bench3RError(f"frames must be at least 1, got {frames}")
    config = scale_config(backbone, scale)
    height, width = config.image_size
    found: BackboneCost = (
        NETWORKS.get(backbone).part("macs").cost(config, frames, size or (height, width))
    )
    return found
