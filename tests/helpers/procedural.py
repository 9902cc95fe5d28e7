"""Data roots with one small procedural scene, and its frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.scene import Frame
from bench3r.data.procedural.render import Views


def write_root(name: str, root: Path) -> Path:
    """Write one procedural scene of three frames in the layout of dataset ``name``."""
    cls = DATASETS.get(name)
    cls.write_procedural(root, cls.procedural_scene_name(0), 0, 17, 3)
    return root


def write_roots(factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A root of every dataset that has a procedural stand-in, by name."""
    roots = {}
    for name, cls in DATASETS.all().items():
        if cls.procedural_style:
            roots[name] = write_root(name, factory.mktemp(name))
    return roots


def frames_of(views: Views) -> list[Frame]:
    """Rendered views as a loader returns them."""
    frames = []
    for i, image in enumerate(views.images):
        frames.append(Frame(image, views.intrinsics[i], views.c2w[i], views.depth[i]))
    return frames
