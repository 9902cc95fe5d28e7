"""Methods by name, and small images for the models that they change."""

from __future__ import annotations

from types import ModuleType

import torch

from bench3r.api.method import METHODS, Method
from bench3r.models.weights import SHIPPED

SIZE = (48, 64)
WEIGHTS = SHIPPED / "vggt-tiny.safetensors"


def method(name: str, **options) -> Method:
    """The method of this name with these options."""
    cls = METHODS.get(name)
    return cls(cls.Options(**options))


def module(name: str) -> ModuleType:
    """The plug-in module of a method."""
    return METHODS.module(METHODS.files()[name])


def images(scenes: int = 1, seed: int = 0) -> torch.Tensor:
    """Three views of noise for each scene, [scenes, 3, 3, 48, 64]."""
    return torch.rand(scenes, 3, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
