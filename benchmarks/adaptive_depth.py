"""Time saved beside FLOPs saved: each adaptive method against VGGT, call by call in turn, in one process.

    python benchmarks/adaptive_depth.py                      paper scale, 4 views of 256 x 256, one thread
    python benchmarks/adaptive_depth.py --scale tiny --views 4

Weights are random: time does not depend on them. Routers run, but the depth map is drawn: smooth random fields with the
shares of SpatialMoR's Table V (ScanNet), so that what is saved is what the paper's distribution would save. Early exit
is made to leave at its first exit. Prints one row per method; exits with 1 when a saving in time is below 0.8 of the one
in FLOPs.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from bench3r.api.method import METHODS, BuildContext
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.flops import count_torch
from bench3r.measure.trackers import Timer
from bench3r.models.backbones import load_backbone
from bench3r.models.catalogue import input_size
from bench3r.recursion.depth import lipschitz

BOUND = 0.8  # time saved per FLOP saved
CASES = [
    ("shallow", {"quarters": 3}),
    ("shallow", {"quarters": 2}),
    ("layer_skip", {}),
    ("early_exit", {"criterion": "saturation", "threshold": 9.0}),
    ("mor", {}),
    ("mor", {"max_depth": 2}),
    ("mor", {"caching": "recursive_sharing"}),
    ("spatial_mor", {"max_depth": 2, "caching": "recursion_wise"}),
    ("spatial_mor", {"caching": "recursion_wise"}),
    ("spatial_mor", {}),
    ("spatial_mor", {"max_depth": 2}),
    ("spatial_mor", {"caching": "region_coherent"}),
    ("spatial_mor", {"routing": "region_guided"}),
]


def smooth_depths(shape: tuple[int, ...], deepest: int) -> torch.Tensor:
    """Depth maps [B, S, h, w] with Table V's shares, cut off at ``deepest``, without steps of two."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=shape), (0, 0, 2, 2))
    reported = METHODS.get("spatial_mor").reported[0].depth_shares["indoor"]
    shares = np.cumsum(reported)[:-1]
    depth = 1 + np.searchsorted(np.quantile(field, shares), field)
    return lipschitz(torch.from_numpy(depth.clip(max=deepest)))


def prepared(name: str, options: dict, scale: str):
    """A model with random weights, changed by a method, its depths drawn."""
    torch.manual_seed(0)
    model = load_backbone(BuildContext("vggt", scale))
    cls = METHODS.get(name)
    cls(cls.Options(**options)).apply(model)
    if name == "spatial_mor":
        route = model.schedule.route

        def drawn(inputs):
            routing = route(inputs)
            routing.depth = smooth_depths(tuple(routing.depth.shape), model.schedule.max_depth)
            return routing

        model.schedule.route = drawn
    return model.eval()


def compare(dense, model, images: torch.Tensor, rounds: int) -> tuple[float, float]:
    """Median seconds of VGGT and of the method, timed in turn; counting their FLOPs was the warm-up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(rounds):
            for one, times in zip((dense, model), seconds, strict=True):
                with Timer() as timer:
                    one(images)
                times.append(timer.seconds)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def main() -> int:
    """Print the table; 1 when a method misses the bound."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="paper", choices=["tiny", "paper"])
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of methods, comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    height, width, _ = input_size("vggt", arguments.scale)
    images = torch.rand(
        1, arguments.views, 3, height, width, generator=torch.Generator().manual_seed(0)
    )
    dense = load_backbone(BuildContext("vggt", arguments.scale))
    whole = count_torch(dense, images)
    print(
        f"{arguments.scale} scale, {arguments.views} views of {height} x {width}, {arguments.threads} thread(s); "
        f"VGGT {whole / 1e9:.1f} GMAC"
    )
    print(
        f"{'method':58s} {'FLOPs saved':>11s} {'VGGT s':>7s} {'s':>7s} {'time saved':>10s} {'ratio':>6s}"
    )
    missed = 0
    only = [n for n in arguments.only.split(",") if n]
    for name, options in [c for c in CASES if not only or c[0] in only]:
        model = prepared(name, options, arguments.scale)
        flops = 1 - count_torch(model, images) / whole
        before, after = compare(dense, model, images, arguments.rounds)
        ratio = (1 - after / before) / flops
        good = ratio >= BOUND
        missed += not good
        text = f"{name} {options or ''}".strip()
        print(
            f"{text:58s} {flops:11.1%} {before:7.2f} {after:7.2f} {1 - after / before:10.1%} {ratio:6.2f}"
            f"{'' if good else '  below 0.8'}",
            flush=True,
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
