"""Training batches: view subsets of scenes, augmented, normalised, with tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.data.frame_lists import load_list, scene_names
from bench3r.data.frames import read_frame
from bench3r.data.procedural.render import Views, make_scene
from bench3r.data.procedural.seeds import TRAIN_SEEDS
from bench3r.data.procedural.styles import STYLES
from bench3r.data.resize import resize_frame
from bench3r.models.geometry import unproject
from bench3r.models.losses import Batch, normalise
from bench3r.training.config import TrainData


class SceneSource(Protocol):
    """Where training scenes come from.

    ``source(i)`` is scene number i, with enough views to draw from.
    """

    def __call__(self, index: int) -> Views: ...


class ProceduralSource:
    """Procedural scenes of all three styles in turn, from the training seeds."""

    def __init__(
        self, size: tuple[int, int], views: int = 8, first_seed: int = TRAIN_SEEDS, samples: int = 2
    ) -> None:
        self.size = size
        self.views = views
        self.first_seed = first_seed
        self.samples = samples

    def __call__(self, index: int) -> Views:
        while True:
            style = STYLES[index % 3]
            seed = self.first_seed + index
            try:
                _, views = make_scene(style, seed, self.views, self.size, self.samples)
            # a world without a usable path: take another seed, far from the usual ones
            except RuntimeError:
                index += 300_000_000
            else:
                return views


class DatasetSource:
    """Scenes of real datasets with depth and poses.

    Stretches of a sequence, cropped to a square and resized. Scene number i always is the same
    stretch. A frame that cannot be read, or a stretch whose depth and poses disagree, is passed
    over. Raises Bench3RError when a root holds no usable scene.
    """

    def __init__(
        self, data: Mapping[str, TrainData], side: int, views: int = 8, seed: int = 0
    ) -> None:
        self.data = dict(data)
        self.side = side
        self.views = views
        self.seed = seed
        self._scenes: list[tuple[Dataset, str]] | None = None  # opened where they are read

    def scenes(self) -> list[tuple[Dataset, str]]:
        """All scenes, opened on first use (in the process that reads them).

        Raises Bench3RError for datasets without depth, poses or scenes.
        """
        if self._scenes is None:
            self._scenes = []
            for name, wanted in self.data.items():
                self._scenes += open_scenes(name, wanted)
        return self._scenes

    def __call__(self, index: int) -> Views:
        scenes = self.scenes()
        last = "too short"
        for attempt in range(50):
            rng = np.random.default_rng([self.seed, index, attempt])
            dataset, scene = scenes[int(rng.integers(len(scenes)))]
            try:
                found = self._stretch(dataset, scene, rng)
            except Bench3RError as error:
                last = str(error)
                continue
            if found is not None:
                return found
        raise Bench3RError(
            f"train.data: 50 stretches in a row cannot be used ({last}); "
            f"check with bench3r prepare {', '.join(self.data)} --root ..."
        )

    def _stretch(self, dataset: Dataset, scene: str, rng: np.random.Generator) -> Views | None:
        frames = dataset.frames(scene)
        if len(frames) < 2:
            return None
        count = min(self.views, len(frames))
        step = int(rng.integers(1, max(2, len(frames) // count + 1)))
        start = int(rng.integers(len(frames) - (count - 1) * step))
        names = frames[start : start + count * step : step]
        raw = [read_frame(dataset, scene, name) for name in names]
        if any(f.depth is None for f in raw):
            raise Bench3RError(f"train.data.{dataset.name}: {scene} has no depth to train on")
        reprojection.check(raw, f"{dataset.name} {scene}")
        views = [square(f, self.side) for f in raw]
        return Views(
            stacked(views, "image"),
            stacked(views, "depth"),
            stacked(views, "intrinsics"),
            stacked(views, "c2w").astype(np.float64),
        )


def open_scenes(name: str, wanted: TrainData) -> list[tuple[Dataset, str]]:
    """The dataset with each of its scenes that are ``wanted``.

    Raises Bench3RError for a dataset without depth or poses, and when no scene is left.
    """
    if wanted.root is None:
        raise Bench3RError(f"train.data.{name}: root is missing")
    dataset = DATASETS.get(name)(Path(wanted.root).expanduser())
    if not (dataset.has_depth and dataset.has_pose):
        raise Bench3RError(f"train.data.{name}: the dataset has no depth or no poses to train on")
    scenes = dataset.scenes()
    if wanted.frame_list:
        scenes = list(scene_names(load_list(wanted.frame_list), scenes).values())
    if not scenes:
        raise Bench3RError(f"train.data.{name}: no scene found under {wanted.root}")
    left_out = {dataset.place(scene) for scene in wanted.leave_out}
    scenes = [scene for scene in scenes if dataset.place(scene) not in left_out]
    if not scenes:
        raise Bench3RError(f"train.data.{name}: the run tests on every scene under {wanted.root}")
    return [(dataset, scene) for scene in scenes]


def stacked(views: Sequence[Frame] | Sequence[Views], field: str) -> np.ndarray:
    """A field of all ``views``, stacked [N, ...]."""
    return np.stack([getattr(view, field) for view in views])


def square(frame: Frame, side: int) -> Frame:
    """The central square of a frame, ``side`` pixels wide."""
    h, w = frame.image.shape[:2]
    short = min(h, w)
    top = (h - short) // 2
    left = (w - short) // 2
    k = frame.intrinsics.copy()
    k[:2, 2] -= [left, top]
    rows = slice(top, top + short)
    columns = slice(left, left + short)
    depth = None if frame.depth is None else frame.depth[rows, columns]
    return resize_frame(Frame(frame.image[rows, columns], k, frame.c2w, depth), (side, side))


def make_tracks(
    depth: Tensor, extrinsics: Tensor, intrinsics: Tensor, queries: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Project the surface points under integer ``queries`` [B, N, 2] of view 0 into all views.

    Of ``depth`` [B, S, H, W], ``extrinsics`` [B, S, 3, 4] and ``intrinsics`` [B, S, 3, 3]. Returns
    tracks [B, S, N, 2] in pixels, visible and in-front masks [B, S, N]. A point is visible when the
    depth at its pixel agrees with its own within 3 %.
    """
    h, w = depth.shape[-2:]
    index = (queries[..., 1] * w + queries[..., 0]).long()
    first = unproject(depth[:, :1], extrinsics[:, :1], intrinsics[:, :1]).flatten(1, 3)
    start = first.gather(1, index[..., None].expand(-1, -1, 3))  # [B, N, 3]
    camera = torch.einsum("bsij,bnj->bsni", extrinsics[..., :3], start)
    camera = camera + extrinsics[..., None, :, 3]
    z = camera[..., 2]
    ray = camera / z.clamp(min=1e-6)[..., None]
    pixel = torch.einsum("bsij,bsnj->bsni", intrinsics, ray)[..., :2]
    column = pixel[..., 0].round()
    row = pixel[..., 1].round()
    inside = (z > 1e-3) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    where = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
    measured = depth.flatten(2).gather(2, where)
    known = (depth[:, 0].flatten(1).gather(1, index) > 0)[:, None]
    visible = inside & known & (measured > 0) & ((measured - z).abs() < 0.03 * z)
    in_front = (z > 1e-3) & known & (pixel.abs() < 4 * max(h, w)).all(-1)
    return pixel, visible, in_front


def make_batch(views: list[Views], queries: int, rng: np.random.Generator) -> Batch:
    """Batch of scenes that share view count and image size."""
    images = torch.from_numpy(stacked(views, "images")).permute(0, 1, 4, 2, 3)
    known = torch.from_numpy(stacked(views, "depth")).double()
    intrinsics = torch.from_numpy(stacked(views, "intrinsics")).float()
    w2c = torch.from_numpy(np.linalg.inv(stacked(views, "c2w"))[:, :, :3])
    scaled = normalise(known, w2c, intrinsics.double())
    depth, extrinsics, points = (tensor.float() for tensor in scaled)
    start = np.stack([_pick_queries(d[0], queries, rng) for d in depth.numpy()])
    picked = torch.from_numpy(start).float()
    tracks, visible, tracked = make_tracks(depth, extrinsics, intrinsics, picked)
    return Batch(
        images=images.float() / 255,
        depth=depth,
        extrinsics=extrinsics,
        intrinsics=intrinsics,
        points=points,
        queries=picked,
        tracks=tracks,
        visible=visible,
        tracked=tracked,
    )


def _pick_queries(depth: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Integer pixels [count, 2] (x, y) with valid depth."""
    rows, columns = np.nonzero(depth > 0)
    if not len(rows):
        return np.zeros((count, 2), np.int64)
    chosen = rng.integers(len(rows), size=count)
    return np.stack([columns[chosen], rows[chosen]], 1)


def crop_rows(views: Views, height: int) -> Views:
    """The central ``height`` rows of every image."""
    start = (views.images.shape[1] - height) // 2
    k = views.intrinsics.copy()
    k[:, 1, 2] -= start
    rows = slice(start, start + height)
    return Views(views.images[:, rows], views.depth[:, rows], k, views.c2w)


def jitter_colour(views: Views, rng: np.random.Generator) -> Views:
    """One random gain, gamma and channel balance for the whole scene, and a small gain per view."""
    balance = rng.normal(0, 0.12, (1, 1, 1, 3))
    of_scene = rng.normal(0, 0.15)
    of_views = rng.normal(0, 0.05, (len(views.images), 1, 1, 1))
    gain = np.exp(balance + of_scene + of_views)
    image = (views.images / 255.0) ** np.exp(rng.normal(0, 0.15)) * gain
    pixels = np.round(255 * image.clip(0, 1)).astype(np.uint8)
    return Views(pixels, views.depth, views.intrinsics, views.c2w)


def pick_views(available: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of ``available`` views along a path, in random order: [count].

    From a stretch of random length. Short stretches give neighbouring views, from which matching is
    learned first; long ones give wide baselines.
    """
    span = int(rng.integers(count, available + 1)) if available > count else available
    start = int(rng.integers(available - span + 1))
    return start + rng.permutation(span)[:count]


class BatchStream(IterableDataset):
    """Endless training batches of a fixed number of frames.

    A buffer of scenes is kept; every sample draws a scene, a random ordered subset of its views and
    an augmentation; every ``reuse`` samples one scene is replaced by the next of ``source``.
    Workers and ranks take disjoint scenes.
    """

    def __init__(
        self,
        source: SceneSource,
        frames: int,
        view_counts: tuple[int, ...],
        heights: tuple[int, ...],
        queries: int,
        reuse: int,
        seed: int,
        first_scene: int = 0,
        rank: int = 0,
        ranks: int = 1,
        buffer: int = 48,
    ) -> None:
        self.source = source
        self.frames = frames
        self.view_counts = view_counts
        self.heights = heights
        self.queries = queries
        self.reuse = reuse
        self.seed = seed
        self.first_scene = first_scene
        self.rank = rank
        self.ranks = ranks
        self.buffer = buffer

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        lane = self.rank * workers + worker
        lanes = self.ranks * workers
        rng = np.random.default_rng([self.seed, lane, self.first_scene])
        index = self.first_scene + lane
        credit = 0
        pool: list[Views] = []
        while True:
            if credit <= 0:
                pool = [*pool[-(self.buffer - 1) :], self.source(index)]
                index += lanes
                credit = self.reuse
            count = int(rng.choice(self.view_counts))
            count = min(count, max(len(views.images) for views in pool))
            long = [views for views in pool if len(views.images) >= count]
            height = int(rng.choice(self.heights))
            size = max(1, self.frames // count)
            credit -= size
            chosen = []
            for _ in range(size):
                scene = long[rng.integers(len(long))]
                chosen.append(self._subset(scene, count, height, rng))
            if all((v.depth > 0).any() for v in chosen):
                yield make_batch(chosen, self.queries, rng)

    def _subset(self, views: Views, count: int, height: int, rng: np.random.Generator) -> Views:
        pick = pick_views(len(views.images), count, rng)
        part = Views(views.images[pick], views.depth[pick], views.intrinsics[pick], views.c2w[pick])
        return jitter_colour(crop_rows(part, height), rng)
