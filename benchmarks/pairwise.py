"""Pairwise models: what encoding every image once saves, and how long global alignment takes.

    python benchmarks/pairwise.py network         DUSt3R of full size on small images: encoding
                                                  once per image against once per pair
    python benchmarks/pairwise.py alignment       all pixels of 20 images of 224 x 224 on swin-3
    python benchmarks/pairwise.py growth OUT.png  alignment over images and edges, plotted

Weights are random and predictions are those of a rendered scene with noise: time does not depend on
them. Exit code 1 when the network needs more than 0.6 of the time of encoding per pair for ten
images on the complete graph, or alignment more than 15 minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bench3r.data.procedural.render import make_scene
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.trackers import MemoryTracker, Timer
from bench3r.models.geometry import unproject
from bench3r.models.pair.config import PairConfig
from bench3r.models.pair.network import PairNetwork, PairOutput
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.graph import GraphName, scene_graph
from bench3r.pairwise.predictions import PairPredictions

NETWORK_BOUND = 0.6  # share of the time of encoding per pair
ALIGNMENT_BOUND = 900.0  # seconds
GROWTH: tuple[tuple[GraphName, tuple[int, ...]], ...] = (
    ("complete", (3, 5, 8, 12)),
    ("swin", (8, 12, 20, 32)),
)


def network(images: int, side: int) -> float:
    """Seconds of the network on the complete graph over those of encoding both images of a pair."""
    model = PairNetwork(PairConfig()).eval()
    edges = scene_graph(images)
    sizes = ((side, side), (side, side))
    views = torch.rand(images, 3, side, side)
    with torch.inference_mode():
        model(views[:2], [(0, 1)])
        with Timer() as once:
            model(views, edges)
        with Timer() as each:
            for i, j in edges:
                first = model.encode(views[i : i + 1])
                model.decode(first, model.encode(views[j : j + 1]), sizes)
    ratio = once.seconds / each.seconds
    times = f"{once.seconds:.1f} s encoding once, {each.seconds:.1f} s encoding per pair"
    print(f"{images} images of {side} x {side}, {len(edges)} pairs: {times}, ratio {ratio:.2f}")
    return ratio


def predictions(images: int, side: int, graph: GraphName, window: int = 3) -> PairPredictions:
    """Noisy predictions for the pairs of a rendered scene."""
    views = make_scene("room", 0, images, (side, side), 1)[1]
    depth = torch.from_numpy(views.depth).float().clamp(min=0.1)
    w2c = torch.from_numpy(np.linalg.inv(views.c2w)).float()
    world = unproject(depth, w2c[:, :3], torch.from_numpy(views.intrinsics).float())
    edges = scene_graph(images, graph, window)
    pairs = []
    for i, j in edges:
        seen = world[[i, j]] @ w2c[i, :3, :3].T + w2c[i, :3, 3]  # [2, H, W, 3] in camera i
        confidence = 3 + torch.rand(2, side, side)
        seen = seen + 0.01 * torch.randn_like(seen)
        pairs.append(PairOutput(seen[0], confidence[0], seen[1], confidence[1]))
    return PairPredictions.of(edges, pairs)


class Alignment(NamedTuple):
    """What an alignment took."""

    edges: int
    seconds: float
    added: int  # bytes of memory at the peak


def alignment(images: int, side: int, graph: GraphName, iterations: int = 300) -> Alignment:
    """Align all pixels, and print what it took."""
    given = predictions(images, side, graph)
    with MemoryTracker() as memory, Timer() as timer:
        found = align(given, AlignmentOptions(iterations=iterations))
    took = Alignment(len(given.edges), timer.seconds, memory.peak_rss - memory.baseline_rss)
    what = f"{graph}, {images} images of {side} x {side}, {took.edges} edges"
    loss = f"loss {found.start_loss:.4f} -> {found.loss:.4f}"
    cost = f"{took.seconds:.1f} s, {took.added / 1e6:.0f} MB"
    print(f"{what}, {iterations} iterations: {cost}, {loss}", flush=True)
    return took


def growth(out: Path, side: int = 112, iterations: int = 60) -> None:
    """Plot alignment time over edges and over images.

    For a graph that grows with the square of the images, and for one that does not.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    align(predictions(3, side, "complete"), AlignmentOptions(iterations=3))  # warm-up
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for graph, counts in GROWTH:
        took = [alignment(n, side, graph, iterations) for n in counts]
        edges = np.array([t.edges for t in took])
        seconds = np.array([t.seconds for t in took])
        for axis, x, what in ((axes[0], np.array(counts), "images"), (axes[1], edges, "edges")):
            slope = np.polyfit(np.log(x), np.log(seconds), 1)[0]
            name = graph if graph == "complete" else f"{graph}-3"
            axis.plot(x, seconds / iterations, "o-", label=f"{name}: {what}^{slope:.2f}")
    for axis, what in zip(axes, ("images", "ordered pairs (edges)"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel=what)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend()
    axes[0].set_ylabel("seconds per iteration")
    figure.suptitle(f"Global alignment, all pixels of {side} x {side} images, one thread")
    figure.tight_layout()
    figure.savefig(out, dpi=130)
    print(f"wrote {out}")


def main() -> int:
    """Run one benchmark; the exit code says whether its bound holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["network", "alignment", "growth"])
    parser.add_argument("out", nargs="?", type=Path, default=Path("alignment_growth.png"))
    parser.add_argument("--images", type=int)
    parser.add_argument("--side", type=int)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    if arguments.what == "network":
        return int(network(arguments.images or 10, arguments.side or 128) > NETWORK_BOUND)
    if arguments.what == "alignment":
        took = alignment(arguments.images or 20, arguments.side or 224, "swin")
        return int(took.seconds > ALIGNMENT_BOUND)
    growth(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
