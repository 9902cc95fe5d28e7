"""Short training runs: settings, and streams of procedural batches."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.models.losses import Batch
from bench3r.training.samples import BatchStream, ProceduralSource

QUICK = {
    "frames_per_batch": 4,
    "view_counts": (2,),
    "heights": (96,),
    "reuse": 8,
    "queries": 8,
    "warmup": 2,
}


def stream(frames: int, views: int, buffer: int = 1, side: int = 96) -> Iterator[Batch]:
    """Batches of ``frames`` square images, ``views`` of a scene, always the same."""
    source = ProceduralSource((side, side), views, samples=1)
    batches = BatchStream(
        source,
        frames,
        view_counts=(views,),
        heights=(side,),
        queries=16,
        reuse=1000,
        seed=0,
        buffer=buffer,
    )
    return iter(batches)
