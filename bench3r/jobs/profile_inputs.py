"""What costs are measured on: distinct frames of the first readable scenes, of one size."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import Prepared, SceneItem
from bench3r.models.catalogue import input_size
from bench3r.models.preprocess import scene_images
from bench3r.run.config import RunConfig
from bench3r.run.plan import ProfileEntry


def distinct_frames(item: SceneItem, dataset: Dataset, count: int) -> list[str]:
    """``count`` frames of the scene of ``item``, none of them twice; all of it where it has fewer.

    The first of the item's own, or where those are too few, frames spread evenly over the scene.
    Raises Bench3RError when the scene cannot be read.
    """
    own = list(dict.fromkeys(item.frames))
    if len(own) >= count:
        return own[:count]
    every = dataset.frames(item.scene)
    if len(every) < count:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, count).round().astype(int)]


def profile_inputs(entry: ProfileEntry, config: RunConfig, prepared: Prepared) -> list[Tensor]:
    """Images [1, S, 3, H, W] of the first readable scenes with ``entry.frames`` distinct views.

    Only scenes of one size, so that times can be compared. Raises Unsupported when no scene has so
    many frames, and Bench3RError when none can be read.
    """
    items = prepared.lists.get(str(entry.frames)) or prepared.longest()
    _, width, patch = input_size(config.sees(entry.backbone), entry.scale)
    loader = SceneLoader(prepared, width, patch)
    found: list[Tensor] = []
    most = 0  # frames of a scene that is too short
    for item in items:
        try:
            frames = distinct_frames(item, loader.dataset, entry.frames)
            if len(frames) < entry.frames:
                most = max(most, len(frames))
                continue
            wanted = item.model_copy(update={"frames": frames})
            images = scene_images(loader.load(wanted), config.device)
        except Bench3RError:
            continue  # a broken scene is reported where it is predicted
        if not found or images.shape == found[0].shape:
            found.append(images)
        if len(found) == config.profile.scenes:
            break
    if not found:
        raise _no_inputs(prepared, entry.frames, most)
    return found


def _no_inputs(prepared: Prepared, frames: int, most: int) -> Bench3RError:
    """Why there is nothing to measure on: ``most`` frames at most, or (0) nothing is readable."""
    if most:
        known = f"no scene of {prepared.name} has {frames:,} distinct frames"
        return Unsupported(f"{known}; the longest has {most:,}")
    return Bench3RError(f"{prepared.name}: no scene can be read, so there is nothing to measure on")
